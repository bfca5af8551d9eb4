import { frameHeaderLength, writeFrameHeader, type SpTransport } from "../../protocols/sp/frame.ts";
import { ChunkBuilder, type Chunk, type Receipt } from "./chunk.ts";
import type { Notification } from "./codec/extended.ts";
import type { Current, Lanes, WriterLane } from "./lanes.ts";
import type { Job } from "./route.ts";

/** Bytes of frames in one chunk; a single notification that is longer makes a chunk of its own. */
const CHUNK_BYTES = 64 * 1024;
/** Notifications of one writer's lane in a row, while others have something to send too. */
const TURN = 64;

/** How jobs become payloads. */
export interface JobEncoder {
  /**
   * The notifications of a job; undefined when there are none and the job is settled, "later" when its event cannot be read
   * for now.
   */
  notifications(job: Job): Iterator<Notification, void> | "later" | undefined;
  encodedLength(notification: Notification): number;
  /** Writes it at `offset` and returns the offset after it. */
  write(target: Buffer, offset: number, notification: Notification): number;
  /** All of a job is in the chunk: its event is not needed any more unless it has to be sent again. */
  encoded(job: Job): void;
  /** One of a job's notifications cannot be encoded. @returns whether to go on with the next; if not, the job is settled */
  unencodable(job: Job, notification: Notification | undefined, error: unknown): boolean;
}

/** Bytes for the socket, and the jobs whose last notification is among them. */
export interface EncodedChunk {
  readonly bytes: Buffer;
  readonly chunk: Chunk;
}

/** Where a chunk is made before it is known how long it gets. */
interface Space {
  /** Room for the longest payload that a record of 64 KiB can make. */
  readonly bytes: Buffer;
  readonly receipts: Receipt[];
}

/** One space for all hosts. Who encodes has it alone, and begins at its start whatever the one before left in it. */
let spare: Space | undefined;

/**
 * Takes jobs out of the lanes and encodes them, until a chunk is full or nothing is left. When anything throws but the
 * encoding of a notification, all jobs are back in their lanes: what is not sent is never taken for sent.
 */
export function encodeChunk(lanes: Lanes, transport: SpTransport, encoder: JobEncoder): EncodedChunk {
  const space = spare ?? { bytes: Buffer.allocUnsafe(CHUNK_BYTES * 3), receipts: [] };
  spare = undefined;
  const builder = new ChunkBuilder(space.receipts);
  try {
    const { length, notifications } = fill(space.bytes, builder, lanes, transport, encoder);
    return { bytes: Buffer.from(space.bytes.subarray(0, length)), chunk: builder.build(notifications) };
  } catch (error) {
    lanes.putBack([...builder.build(0).jobs(), ...lanes.takeBegun()]);
    throw error;
  } finally {
    spare = space;
  }
}

function fill(
  target: Buffer,
  builder: ChunkBuilder,
  lanes: Lanes,
  transport: SpTransport,
  encoder: JobEncoder,
): { length: number; notifications: number } {
  const header = frameHeaderLength(transport);
  let at = 0;
  let notifications = 0;
  let turn = TURN;
  for (let lane = lanes.first; lane !== undefined && at < CHUNK_BYTES; lane = lanes.first) {
    const current = lane.current ?? begin(lane, lanes, encoder);
    if (current === undefined) continue;
    let dropped = false;
    let done = false;
    while (!dropped && turn > 0) {
      try {
        const notification = current.next ?? (current.rest.next().value as Notification | undefined);
        current.next = notification;
        done = notification === undefined;
        if (notification === undefined) break;
        const length = encoder.encodedLength(notification);
        if (at > 0 && at + header + length > CHUNK_BYTES) {
          lanes.turn(lane);
          return { length: at, notifications };
        }
        writeFrameHeader(target, at, length, transport);
        at = encoder.write(target, at + header, notification);
        notifications++;
        if (lanes.several) turn--;
      } catch (error) {
        dropped = !encoder.unencodable(current.job, current.next, error);
      }
      current.next = undefined;
    }
    if (done) {
      encoder.encoded(current.job);
      builder.add(current.job);
    }
    if (done || dropped) lanes.end(lane);
    if (turn === 0) {
      lanes.turn(lane);
      turn = TURN;
    }
  }
  return { length: at, notifications };
}

/** Begins the lane's next job that has anything to send now. */
function begin(lane: WriterLane, lanes: Lanes, encoder: JobEncoder): Current | undefined {
  for (let job = lanes.shift(lane); job !== undefined; job = lanes.shift(lane)) {
    const rest = lanes.isAside(job) ? "later" : notificationsOf(job, lanes, encoder);
    if (rest === undefined) continue;
    if (rest === "later") {
      lanes.setAside(job);
      continue;
    }
    const current = { job, rest, next: undefined };
    lanes.begin(lane, current);
    return current;
  }
  return undefined;
}

function notificationsOf(job: Job, lanes: Lanes, encoder: JobEncoder): ReturnType<JobEncoder["notifications"]> {
  try {
    return encoder.notifications(job);
  } catch (error) {
    lanes.putBack([job]);
    throw error;
  }
}
