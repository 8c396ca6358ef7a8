/** `felhom-hub serve | init | version`, as a function of its arguments so that tests can run it. */
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { loadHubConfig } from './config.ts';
import type { Environment, HubConfig } from './config.ts';
import { createHub } from './hub.ts';
import type { Hub } from './hub.ts';
import { openSqliteStore } from './store/sqlite.ts';
import { system } from './system.ts';

export interface ProgramIo {
  readonly env: Environment;
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  /** Resolves when the program should end (SIGTERM, SIGINT). */
  readonly untilStopped: Promise<unknown>;
}

const usage = `usage: felhom-hub COMMAND [--config FILE]

  init [--operator NAME] [--role operator|reader]
           create the database where there is none, and a token, printed once
  serve    answer agents, operators and the dashboard; watch the hosts, send alerts and the heartbeat
  version  print the version

Configuration: --config FILE, else FELHOM_HUB_CONFIG, else /etc/felhom-hub/config.json. Entries, with the variable that
overrides them: host (FELHOM_HUB_HOST), port (_PORT), database (_DATABASE), tls.certFile and tls.keyFile (_TLS_CERT and
_TLS_KEY), logLevel (_LOG_LEVEL), pollAfterSeconds (_POLL_AFTER_SECONDS); in the file only: alerts, heartbeat.
Exit codes: 0 done, 1 failed, 2 wrong usage.
`;

export async function runHub(argv: readonly string[], io: ProgramIo): Promise<number> {
  try {
    const parsed = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        config: { type: 'string' },
        operator: { type: 'string' },
        role: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    const [command, ...rest] = parsed.positionals;
    if (parsed.values.help === true) {
      io.stdout.write(usage);
      return 0;
    }
    if (rest.length > 0) return wrongUsage(io, `there is no argument ${rest[0] ?? ''}`);
    if (command === 'version') {
      io.stdout.write(`felhom-hub ${hubVersion()}\n`);
      return 0;
    }
    if (command === 'init') return await init(loadHubConfig(parsed.values.config, io.env), parsed.values, io);
    if (command === 'serve') return await serve(loadHubConfig(parsed.values.config, io.env), io);
    return wrongUsage(io, command === undefined ? 'no command was given' : `there is no command ${command}`);
  } catch (error) {
    if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
      return wrongUsage(io, error.message);
    io.stderr.write(`felhom-hub: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

function wrongUsage(io: ProgramIo, why: string): number {
  io.stderr.write(`felhom-hub: cannot run: ${why}\n${usage}`);
  return 2;
}

async function init(
  config: HubConfig,
  { operator = 'admin', role = 'operator' }: { readonly operator?: string; readonly role?: string },
  io: ProgramIo,
): Promise<number> {
  if (role !== 'operator' && role !== 'reader') return wrongUsage(io, 'a role is operator or reader');
  if (!/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/.test(operator))
    return wrongUsage(io, 'the name of an operator is lower-case letters, digits and dashes');
  const hub = openHub(config, undefined);
  try {
    const { token } = await hub.createOperator(operator, role);
    io.stderr.write(
      `The hub's database is ${config.database}. The token of ${role} ${operator} follows; it is shown this once and ` +
        'kept as a hash only.\nNext: felhom login URL, then felhom hosts add NAME.\n',
    );
    io.stdout.write(`${token}\n`);
    return 0;
  } finally {
    await hub.close();
  }
}

async function serve(config: HubConfig, io: ProgramIo): Promise<number> {
  const hub = openHub(config, { write: (line) => void io.stdout.write(line) });
  const stopping = new AbortController();
  let watching: Promise<void> | undefined;
  try {
    const url = await hub.listen(config);
    hub.app.log.info({ url, version: hubVersion() }, 'the hub listens');
    watching = hub.watch.run(system.sleep, stopping.signal);
    await io.untilStopped;
    return 0;
  } finally {
    stopping.abort();
    await watching;
    await hub.close();
  }
}

function openHub(config: HubConfig, log: { write(line: string): void } | undefined): Hub {
  const tls =
    config.tls === undefined
      ? undefined
      : { cert: readFileSync(config.tls.certFile, 'utf8'), key: readFileSync(config.tls.keyFile, 'utf8') };
  mkdirSync(dirname(config.database), { recursive: true, mode: 0o700 });
  return createHub({
    store: openSqliteStore(config.database),
    ...system,
    logLevel: config.logLevel,
    pollAfterSeconds: config.pollAfterSeconds,
    alerts: config.alerts,
    heartbeat: config.heartbeat,
    ...(tls === undefined ? {} : { tls }),
    ...(log === undefined ? {} : { log }),
  });
}

function hubVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : '?';
}
