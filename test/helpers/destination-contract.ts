import assert from "node:assert/strict";
import { copyFileSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import fc from "fast-check";
import { Delivery, type DeliveryStatus } from "../../src/delivery/delivery.ts";
import type { Kind } from "../../src/delivery/kind.ts";
import { schemaOf, settingsOf } from "../../src/delivery/options.ts";
import * as v from "valibot";
import { line, segmentName, TestJournal } from "./journal.ts";
import { anyRecord } from "./records.ts";
import { waitFor } from "./wait.ts";

const SEGMENT = segmentName(100);
const PATIENCE_MS = 30_000;
/** Whose mail it is. */
export const USERS = ["u0", "u1", "u2", "u3", "u4"] as const;
/** More than may be in memory at once. */
const MANY = 20_000;

/** One kind with real receivers, for one test. */
export interface Subject {
  readonly kind: Kind;
  /** What stands in ocnotify.yaml for it. */
  readonly written: Readonly<Record<string, unknown>>;
  /** Its receivers of each of `USERS`. Absent when a kind notifies nobody. */
  readonly receivers?: {
    /** The new messages that they were notified of, as `<user> <uid>`, in the order of their arrival. */
    readonly received: readonly string[];
    /** They take nothing, or are gone, until the function that is returned is called. */
    interrupt(): Promise<() => Promise<void>>;
  };
}

/** A journal, and deliveries to the subject that read it one after the other. */
class Site {
  readonly subject: Subject;
  readonly #journal: TestJournal;
  readonly #cursorFile: string;
  /** The ids of the events that it was given, in order. */
  readonly given: string[] = [];
  #delivery: Delivery | undefined;
  #written = 0;

  constructor(subject: Subject, t: TestContext) {
    this.subject = subject;
    this.#journal = new TestJournal();
    this.#cursorFile = join(this.#journal.folder, "subject.cursor");
    t.after(async () => {
      await this.#delivery?.close(0);
      this.#journal.remove();
    });
  }

  async start(): Promise<void> {
    const { kind, written } = this.subject;
    const settings = v.parse(schemaOf(kind.options), written);
    const { log } = this.#journal;
    this.#delivery = await Delivery.start(
      {
        name: "subject",
        hostId: "mx1",
        type: kind.type,
        cursorFile: this.#cursorFile,
        filteredBy: () => undefined,
        wholeRecords: kind.wholeRecords,
        startsAt: kind.startsAt,
      },
      await this.#journal.open(),
      (answers) => {
        const surroundings = { name: "subject", answers, log, maxConnections: 100 };
        const destination = kind.create(settingsOf(kind.options, settings), surroundings);
        const deliver = destination.deliver.bind(destination);
        destination.deliver = (records) => {
          for (const record of records) {
            if (record.event !== undefined) this.given.push(answers.idOf(record, record.event));
          }
          deliver(records);
        };
        return destination;
      },
      log,
    );
  }

  /** New mail, in turn for each user, in a mailbox of his name; the n-th has the UID n. */
  mail(count: number): void {
    const lines: string[] = [];
    for (let last = this.#written + count; this.#written < last;) {
      const user = USERS[this.#written % USERS.length];
      lines.push(line({ user, mailbox: user, uids: String(++this.#written), ts: Date.now() * 1_000 }));
    }
    this.append(lines.join(""));
  }

  append(text: string): void {
    this.#journal.append(SEGMENT, text);
  }

  removeJournal(): void {
    rmSync(this.#journal.file(SEGMENT));
  }

  /** The counts add up whenever they are looked at. */
  status(): DeliveryStatus {
    const status = this.#delivery?.status();
    assert.ok(status !== undefined);
    const sum = Object.values(status.outcomes).reduce((total, count) => total + count, 0);
    assert.equal(sum, status.records, JSON.stringify(status.outcomes));
    const { details, dropped } = status;
    const { counters, dropReasons } = this.subject.kind;
    assert.deepEqual(Object.keys(details).toSorted(), Object.keys(counters).toSorted());
    for (const reason of Object.keys(dropped)) assert.ok(Object.hasOwn(dropReasons, reason), reason);
    return status;
  }

  async allAnswered(records: number): Promise<DeliveryStatus> {
    await waitFor(
      `${records} records to be answered`,
      () => {
        const { records: read, outcomes } = this.status();
        return read === records && outcomes.waiting === 0;
      },
      PATIENCE_MS,
    );
    return this.status();
  }

  async received(what: string, test: (received: readonly string[]) => boolean): Promise<void> {
    const { receivers } = this.subject;
    if (receivers !== undefined) await waitFor(what, () => test(receivers.received), PATIENCE_MS);
  }

  /** Every mail has arrived, those of each user in their order but for repeats. */
  async allReceived(): Promise<void> {
    await this.received("every mail", (received) => new Set(received).size === this.#written);
    const { received = [] } = this.subject.receivers ?? {};
    for (const user of USERS) {
      const uids = [...new Set(received)]
        .filter((name) => name.startsWith(`${user} `))
        .map((name) => name.split(" ")[1]);
      assert.deepEqual(
        uids,
        uids.toSorted((a, b) => Number(a) - Number(b)),
        `the order of ${user}`,
      );
    }
  }

  async stop(drainMs: number): Promise<void> {
    await this.#delivery?.close(drainMs);
    this.#delivery = undefined;
  }

  /** What a kill leaves is the cursor that was saved last, and nothing of what was done since. */
  async kill(): Promise<void> {
    const kept = `${this.#cursorFile}.kept`;
    const saved = existsSync(this.#cursorFile);
    if (saved) copyFileSync(this.#cursorFile, kept);
    await this.stop(0);
    if (saved) copyFileSync(kept, this.#cursorFile);
    else rmSync(this.#cursorFile, { force: true });
  }
}

/**
 * What every kind of destination promises: each record gets one answer whatever it is, nothing stalls, what was not notified is
 * notified after a kill, in order, and the counts add up at every moment.
 * @param make called once for each test
 */
export function destinationContract(name: string, make: (t: TestContext) => Promise<Subject>): void {
  const site = async (t: TestContext): Promise<Site> => new Site(await make(t), t);

  describe(`the contract of a destination, with ${name}`, () => {
    test("each record has one outcome, whatever it says", async (t) => {
      const records = fc.sample(anyRecord, { numRuns: 500, seed: 1 });
      const s = await site(t);
      await s.start();
      s.append(records.map((record) => `${JSON.stringify(record)}\n`).join(""));
      const { malformed } = await s.allAnswered(records.length);
      assert.equal(malformed, 0);
    });

    test("more than fits into memory is taken, and arrives in order", async (t) => {
      const s = await site(t);
      await s.start();
      s.mail(MANY);
      const { outcomes, dropped } = await s.allAnswered(MANY);
      assert.deepEqual([outcomes.notified, dropped], [MANY, {}]);
      await s.allReceived();
    });

    test("what had no answer when it was killed is given again", async (t) => {
      const s = await site(t);
      for (let kills = 0; kills < 3; kills++) {
        await s.start();
        s.mail(300);
        await s.received("some of it", (received) => received.length > 0);
        await s.kill();
      }
      await s.start();
      s.mail(10);
      await s.allReceived();
      await waitFor("all to be given", () => new Set(s.given).size >= 910, PATIENCE_MS);
      assert.equal(new Set(s.given).size, 910, "an event has the same id each time that it is given");
      await waitFor("all to be answered", () => s.status().outcomes.waiting === 0, PATIENCE_MS);
    });

    test("what can be sent is sent when it is closed, and is not given again", async (t) => {
      const s = await site(t);
      await s.start();
      s.mail(500);
      await s.received("the first", (received) => received.length > 0);
      await waitFor("it to be read", () => s.status().records === 500, PATIENCE_MS);
      await s.stop(10_000);
      await s.allReceived();
      await s.start();
      s.mail(1);
      await s.allAnswered(1);
    });

    test("what its receivers do not take waits, and arrives when they do", async (t) => {
      const s = await site(t);
      const { receivers } = s.subject;
      if (receivers === undefined) return t.skip("it notifies nobody");
      const goOn = await receivers.interrupt();
      await s.start();
      s.mail(MANY);
      await waitFor("it to be read", () => s.status().records > 1_000, PATIENCE_MS);
      assert.equal(s.status().outcomes.notified, 0);
      await goOn();
      await s.allReceived();
      assert.deepEqual((await s.allAnswered(MANY)).dropped, {});
    });

    test("what the journal loses meanwhile is counted", async (t) => {
      const s = await site(t);
      const { receivers } = s.subject;
      if (receivers === undefined) return t.skip("it notifies nobody");
      const goOn = await receivers.interrupt();
      await s.start();
      s.mail(5_000);
      await waitFor("it to be read", () => s.status().records === 5_000, PATIENCE_MS);
      s.removeJournal();
      await goOn();
      const { outcomes } = await s.allAnswered(5_000);
      assert.equal(outcomes.notified + outcomes.dropped, 5_000);
    });
  });
}
