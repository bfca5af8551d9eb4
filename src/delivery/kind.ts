import type { Finding } from "../check/finding.ts";
import type { Logger } from "../log.ts";
import type { Counter } from "./counter.ts";
import type { Answers, Destination } from "./destination.ts";
import type { Options, Settings } from "./options.ts";

/** What a destination may know of the daemon around it. */
export interface Surroundings {
  /** Its name in ocnotify.yaml. */
  readonly name: string;
  readonly answers: Answers;
  readonly log: Logger;
  /** Connections that it may have open at once, as far as the limit of open files allows. */
  readonly maxConnections: number;
}

/** What `ocnotify check` knows beside the destinations. */
export interface CheckContext {
  /** Settings of the plugin that Dovecot's configuration has for everybody, by name. */
  readonly dovecot: Readonly<Record<string, string>>;
  /** The user of Dovecot who is asked about. */
  readonly user: string | undefined;
}

/**
 * A kind of destination: what stands as `type` in ocnotify.yaml. Nothing else of the program knows more of it than this,
 * and its name in the list of kinds.
 */
export interface Kind<Table extends Options = Options> {
  readonly type: string;
  /** What it is, for the documents: whom it notifies. */
  readonly meaning: string;
  /** Its options beside those that each destination has; see `commonOptions`. */
  readonly options: Table;
  /**
   * Whether it gets every field that was recorded. Otherwise it gets those that the record scanner keeps, which is many
   * times faster.
   */
  readonly wholeRecords: boolean;
  /** Where a new one begins, which has no cursor yet: with the oldest record of the journal, or with what comes. */
  readonly startsAt: "oldest" | "end";
  /** What the numbers in `DestinationStatus.details` mean. */
  readonly counters: Readonly<Record<string, Counter>>;
  /** Why it may give up a notification: the keys of `DestinationStatus.dropped`. */
  readonly dropReasons: Readonly<Record<string, Counter>>;
  /** What `ocnotify status` prints of the details: lines of a label of at most 10 characters and a text. */
  describe(details: Readonly<Record<string, number>>): readonly (readonly [label: string, text: string])[];
  /** What of the settings is of the right form and still of no use, as `key: what is wrong`. */
  unusable(settings: Settings<Table>): readonly string[];
  /** Looks whether those whom these destinations notify can be reached. */
  check(destinations: ReadonlyMap<string, Settings<Table>>, context: CheckContext): AsyncIterable<Finding>;
  /** @throws OcnotifyError for settings that cannot be used */
  create(settings: Settings<Table>, surroundings: Surroundings): Destination;
}
