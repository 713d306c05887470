// SPDX-License-Identifier: Apache-2.0
/** Reads captures: pcap (the classic format, either byte order, micro- or nanoseconds) of Ethernet frames. Pure. */

const MAGIC = new Set([0xa1b2c3d4, 0xa1b23c4d]);
const ETHERNET = 1;
const FILE_HEADER = 24;
const RECORD_HEADER = 16;

export class PcapError extends Error {
  readonly code = 'InvalidRequest';
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}

/** The frames of a capture, at most `limit`. @throws PcapError */
export function readPcap(file: Buffer, limit: number): Buffer[] {
  const convert = 'convert it: editcap -F pcap IN OUT, or capture with tcpdump -w';
  if (file.length < FILE_HEADER) throw new PcapError('the capture is shorter than its header', convert);
  const little = MAGIC.has(file.readUInt32LE(0));
  if (!little && !MAGIC.has(file.readUInt32BE(0)))
    throw new PcapError('the file is no pcap capture', convert);
  const word = (at: number) => (little ? file.readUInt32LE(at) : file.readUInt32BE(at));
  const link = word(20) & 0xffff;
  if (link !== ETHERNET)
    throw new PcapError(
      `the capture holds link type ${link}, not Ethernet`,
      'capture on an Ethernet interface',
    );
  const frames: Buffer[] = [];
  for (let at = FILE_HEADER; at + RECORD_HEADER <= file.length && frames.length < limit; ) {
    const captured = word(at + 8);
    const start = at + RECORD_HEADER;
    if (captured > file.length - start)
      throw new PcapError(`packet ${frames.length + 1} of the capture is cut off`, 'capture it again');
    if (captured < word(at + 12))
      throw new PcapError(
        `packet ${frames.length + 1} of the capture holds ${captured} of ${word(at + 12)} bytes`,
        'capture whole packets: tcpdump -s 0',
      );
    frames.push(file.subarray(start, start + captured));
    at = start + captured;
  }
  return frames;
}
