// SPDX-License-Identifier: Apache-2.0

/**
 * The bytes of a section of a 64-bit little-endian ELF file, undefined when it has none of that name (System V ABI,
 * chapter 4). Throws Error when `file` is no such file.
 */
export function elfSection(file: Uint8Array, wanted: string): Uint8Array | undefined {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 64 || view.getUint32(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) {
    throw new Error('not a 64-bit little-endian ELF file');
  }
  const table = Number(view.getBigUint64(0x28, true));
  const entrySize = view.getUint16(0x3a, true);
  const count = view.getUint16(0x3c, true);
  const section = (index: number) => {
    const at = table + index * entrySize;
    const start = Number(view.getBigUint64(at + 0x18, true));
    const size = Number(view.getBigUint64(at + 0x20, true));
    return { name: view.getUint32(at, true), bytes: () => file.subarray(start, start + size) };
  };
  const names = section(view.getUint16(0x3e, true)).bytes();
  for (let i = 0; i < count; i++) {
    const { name, bytes } = section(i);
    const end = names.indexOf(0, name);
    if (new TextDecoder().decode(names.subarray(name, end)) === wanted) return bytes();
  }
  return undefined;
}
