import { NdrError } from "./errors.ts";

/** Writes NDR without alignment, little endian, into a buffer that grows. `finish()` gives the bytes. */
export class NdrWriter {
  #bytes = Buffer.allocUnsafe(256);
  #length = 0;

  u8(value: number, field: string): void {
    this.#check(value, 0xff, field);
    const at = this.#reserve(1);
    this.#bytes.writeUInt8(value, at);
  }

  /** @param limit the most that may be written, where that is less than fits */
  u16(value: number, field: string, limit = 0xffff): void {
    this.#check(value, limit, field);
    const at = this.#reserve(2);
    this.#bytes.writeUInt16LE(value, at);
  }

  u32(value: number, field: string): void {
    this.#check(value, 0xffff_ffff, field);
    const at = this.#reserve(4);
    this.#bytes.writeUInt32LE(value, at);
  }

  u64(value: bigint, field: string): void {
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn) {
      throw new NdrError("ERR_NDR_RANGE", this.#length, `${field}: ${value} does not fit in 64 bits`);
    }
    const at = this.#reserve(8);
    this.#bytes.writeBigUInt64LE(value, at);
  }

  /** `value` as it is. */
  bytes(value: Uint8Array): void {
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
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

  /** Makes room, which can replace `#bytes`: call it before looking at that. */
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
