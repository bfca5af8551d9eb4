import { StatementReader } from "./config-statements.ts";
import { ConfigStringError } from "./errors.ts";
import { type NamedFile, type PoolConfig, PoolConfigBuilder } from "./pool-config.ts";

export interface ConfigStringOptions {
  /**
   * Reads a file that the string names (`INCLUDE`, `--CONFIGURE-FILE=`). Without it such a string is refused: give it
   * only for the operator's own configuration, never for a string that comes from elsewhere.
   */
  readFile?: (path: string) => string;
  /** The most servers that the string may name; 1,024 by default. Each costs 100 to 160 points of a ring, and a connection. */
  maxServers?: number;
  /** The longest timeout that counts, in milliseconds; a longer one in the string is this. */
  maxTimeoutMs?: number;
}

const MAX_FILE_DEPTH = 8;
const MAX_SERVERS = 1_024;

/**
 * Reads a libmemcached configuration string (libmemcached_configuration(3)), statement by statement, as libmemcached
 * 1.1.4 does, which is stricter than its manual: exactly one space between statements, none before or after.
 *
 * Differences, all on purpose: no server, a port over 65535, a timeout over 2^31-1 ms and random distribution are
 * errors, and so are more than 1,024 servers; `--SERVER=[::1]:11211` is taken; a connect or poll timeout of 0 is the
 * default of 1000 ms.
 *
 * @throws ConfigStringError ERR_MEMCACHED_CONFIG, or ERR_MEMCACHED_CONFIG_FILE for a file that may not or cannot be read
 */
export function parseConfigString(text: string, options: ConfigStringOptions = {}): PoolConfig {
  const builder = new PoolConfigBuilder(options.maxServers ?? MAX_SERVERS);
  new StatementReader(text, builder, (file) => readLines(file, builder, options, 1)).read();
  if (builder.file !== undefined) {
    readLines(builder.file, builder, options, 1);
  }
  const config = builder.build();
  if (config.servers.length === 0) {
    const message = "memcached configuration string: no server; begin with --SERVER=host[:port]";
    throw new ConfigStringError("ERR_MEMCACHED_CONFIG", message, text.length);
  }
  const { maxTimeoutMs = Infinity } = options;
  for (const name of ["connectTimeoutMs", "pollTimeoutMs", "retryTimeoutMs"] as const) {
    config[name] = Math.min(config[name], maxTimeoutMs);
  }
  return config;
}

/** Each line of a file is a string of its own, applied to the same pool. */
function readLines(
  { path, fail }: NamedFile,
  builder: PoolConfigBuilder,
  options: ConfigStringOptions,
  depth: number,
): void {
  if (options.readFile === undefined) {
    throw fail(`${path}: files are not read for a string from elsewhere`, "ERR_MEMCACHED_CONFIG_FILE");
  }
  if (depth > MAX_FILE_DEPTH) {
    throw fail(`${path}: files include each other too deeply`, "ERR_MEMCACHED_CONFIG_FILE");
  }
  let content: string;
  try {
    content = options.readFile(path);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw fail(`cannot read ${path}: ${why}`, "ERR_MEMCACHED_CONFIG_FILE", cause);
  }
  if (content === "") {
    throw fail(`${path}: the file is empty`, "ERR_MEMCACHED_CONFIG_FILE");
  }
  const include = (file: NamedFile): void => readLines(file, builder, options, depth + 1);
  for (const [index, line] of content.split(/(?<=\n)/).entries()) {
    if (line !== "\n") {
      new StatementReader(line, builder, include, `${path}:${index + 1}`).read();
    }
  }
}
