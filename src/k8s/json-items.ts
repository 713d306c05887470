// SPDX-License-Identifier: Apache-2.0

const QUOTE = 0x22;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Depth of the elements of a list's `items`: inside the list object and inside the array. */
const ITEM_DEPTH = 2;
/** Bytes taken from the front before the buffer is moved. */
const COMPACT_BYTES = 1 << 20;

/**
 * Cuts the answer of a list request (`{"kind": …, "metadata": …, "items": [{…}, …]}`) into its items while it comes
 * in, so that never more than one item and one chunk are held. It relies on the server's JSON being well formed; each
 * item goes through JSON.parse afterwards, which finds what is not.
 */
export class ItemSplitter {
  #buffer: Buffer = Buffer.alloc(0);
  /** Next byte to look at. */
  #position = 0;
  /** First byte that is still needed. */
  #kept = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #inItems = false;
  #itemStart = -1;
  /** Everything outside the items, so that the list's own metadata can be parsed at the end. */
  #rest: string[] = [];
  #restStart = 0;
  #keyStart = -1;
  #lastString = '';

  /** Takes one chunk; calls back with each whole item. The slice is valid only during the call. */
  push(chunk: Buffer, onItem: (item: Buffer) => void): void {
    this.#append(chunk);
    const buffer = this.#buffer;
    let position = this.#position;
    for (; position < buffer.length; position++) {
      const byte = buffer[position] ?? 0;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) {
          this.#inString = false;
          if (this.#depth === 1) this.#lastString = buffer.toString('utf8', this.#keyStart, position);
        }
        continue;
      }
      switch (byte) {
        case QUOTE:
          this.#inString = true;
          this.#keyStart = position + 1;
          break;
        case OPEN_BRACE:
        case OPEN_BRACKET:
          if (byte === OPEN_BRACKET && this.#depth === 1 && this.#lastString === 'items') {
            this.#inItems = true;
            this.#rest.push(buffer.toString('utf8', this.#restStart, position + 1));
          } else if (byte === OPEN_BRACE && this.#inItems && this.#depth === ITEM_DEPTH) {
            this.#itemStart = position;
          }
          this.#depth++;
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          this.#depth--;
          if (this.#inItems && byte === CLOSE_BRACE && this.#depth === ITEM_DEPTH) {
            onItem(buffer.subarray(this.#itemStart, position + 1));
            this.#itemStart = -1;
            this.#kept = position + 1;
          } else if (this.#inItems && byte === CLOSE_BRACKET && this.#depth === 1) {
            this.#inItems = false;
            this.#restStart = position;
          }
          break;
      }
    }
    this.#position = position;
    if (this.#inItems && this.#itemStart < 0) this.#kept = position;
  }

  /** After the last chunk: the list without its items, parsed. Throws when the answer was cut short. */
  finish(): { metadata?: { resourceVersion?: string; continue?: string } } {
    if (this.#depth !== 0) throw new Error('the list ended in the middle of an object');
    return JSON.parse(this.#rest.join('') + this.#buffer.toString('utf8', this.#restStart));
  }

  #append(chunk: Buffer): void {
    // Before the items and after them everything is kept: it is a few hundred bytes.
    const from = this.#inItems ? (this.#itemStart >= 0 ? this.#itemStart : this.#kept) : 0;
    if (from > 0 || this.#buffer.length === 0 || this.#buffer.length > COMPACT_BYTES) {
      const left = this.#buffer.subarray(from);
      this.#buffer = left.length === 0 ? chunk : join(left, chunk);
      this.#position -= from;
      this.#keyStart -= from;
      this.#restStart -= from;
      if (this.#itemStart >= 0) this.#itemStart -= from;
      this.#kept = 0;
    } else {
      this.#buffer = join(this.#buffer, chunk);
    }
  }
}

/** Not from Node's pool: a caller's small copy in the same 64 KiB would keep these short-lived bytes alive. */
function join(left: Buffer, right: Buffer): Buffer {
  const joined = Buffer.allocUnsafeSlow(left.length + right.length);
  left.copy(joined);
  right.copy(joined, left.length);
  return joined;
}

/** Cuts a watch's answer into lines; each is one JSON event. */
export class LineSplitter {
  #parts: Buffer[] = [];

  /** Calls back with each whole line, without its end. The slice is valid only during the call. */
  push(chunk: Buffer, onLine: (line: Buffer) => void): void {
    let from = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
      const tail = chunk.subarray(from, end);
      if (this.#parts.length === 0) {
        if (tail.length > 0) onLine(tail);
      } else {
        onLine(Buffer.concat([...this.#parts, tail]));
        this.#parts = [];
      }
      from = end + 1;
    }
    if (from < chunk.length) this.#parts.push(chunk.subarray(from));
  }
}
