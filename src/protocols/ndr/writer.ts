import { NdrError } from "./errors.ts";

/** Writes NDR without alignment, little endian, into a buffer that grows. `finish()` gives the bytes. */
export class NdrWriter {
  #bytes = Buffer.allocUnsafe(256);
  #length = 0;

  u8(value: number, field: string): void {
    this.#check(value, 0xff, field);
    this.#bytes.writeUInt8(value, this.#reserve(1));
  }

  u16(value: number, field: string): void {
    this.#check(value, 0xffff, field);
    this.#bytes.writeUInt16LE(value, this.#reserve(2));
  }

  u32(value: number, field: string): void {
    this.#check(value, 0xffff_ffff, field);
    this.#bytes.writeUInt32LE(value, this.#reserve(4));
  }

  u64(value: bigint, field: string): void {
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn) {
      throw new NdrError("ERR_NDR_RANGE", this.#length, `${field}: ${value} does not fit in 64 bits`);
    }
    this.#bytes.writeBigUInt64LE(value, this.#reserve(8));
  }

  /** `value` as it is. */
  bytes(value: Uint8Array): void {
    this.#bytes.set(value, this.#reserve(value.length));
  }

  /** `value` and a NUL; `value` has none itself. */
  cstring(value: Uint8Array, field: string): void {
    if (value.includes(0)) {
      throw new NdrError("ERR_NDR_STRING", this.#length, `${field}: a NUL inside the string would end it early`);
    }
    this.bytes(value);
    this.u8(0, field);
  }

  /** The count of a conformant array, twice. */
  conformantCount(count: number, field: string, limit: number): void {
    if (count > limit) {
      throw new NdrError("ERR_NDR_COUNT", this.#length, `${field}: ${count} elements, at most ${limit} are allowed`);
    }
    this.u32(count, field);
    this.u32(count, field);
  }

  /** What was written, as a buffer of its own. */
  finish(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#length));
  }

  #check(value: number, max: number, field: string): void {
    if (!Number.isInteger(value) || value < 0 || value > max) {
      throw new NdrError("ERR_NDR_RANGE", this.#length, `${field}: ${value} is not a whole number from 0 to ${max}`);
    }
  }

  #reserve(length: number): number {
    const start = this.#length;
    const needed = start + length;
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
      this.#bytes.copy(grown, 0, 0, start);
      this.#bytes = grown;
    }
    this.#length = needed;
    return start;
  }
}
