// SPDX-License-Identifier: Apache-2.0

/** Rows that several services want: what those would write there that have not got it. */
export class Waiting {
  /** Key of the row as text → service → value. */
  readonly #rows = new Map<string, Map<string, Uint8Array>>();

  add(row: string, service: string, value: Uint8Array): void {
    const waiting = this.#rows.get(row) ?? new Map<string, Uint8Array>();
    waiting.set(service, value);
    this.#rows.set(row, waiting);
  }

  /** Returns what the service would have written. */
  remove(row: string, service: string): Uint8Array | undefined {
    const waiting = this.#rows.get(row);
    const value = waiting?.get(service);
    waiting?.delete(service);
    if (waiting?.size === 0) this.#rows.delete(row);
    return value;
  }

  /** The service whose rank is the smallest. */
  first(row: string, rank: (service: string) => string): string | undefined {
    const services = [...(this.#rows.get(row)?.keys() ?? [])];
    return services.sort((a, b) => (rank(a) < rank(b) ? -1 : 1))[0];
  }
}
