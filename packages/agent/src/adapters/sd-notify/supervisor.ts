import type { LocalFacts, LogRecord, LogSocket, Supervisor } from '../../ports/supervisor.ts';
import { openDatagram } from './datagram.ts';
import type { Datagram } from './datagram.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** Nobody watches: a terminal, a test. */
export function nobody(): Supervisor {
  return { watchdogMs: undefined, ready: () => {}, progress: () => {}, status: () => {}, stopping: () => {} };
}

/** systemd as the environment of this process names it (sd_notify(3), sd_watchdog_enabled(3)). */
export function openSupervisor(env: Env, pid: number, open: () => Datagram | undefined = openDatagram): Supervisor {
  const path = env['NOTIFY_SOCKET'];
  const send = path === undefined || path === '' ? undefined : open();
  if (path === undefined || send === undefined) return nobody();
  const tell = (text: string): void => void send(path, Buffer.from(text));
  return {
    watchdogMs: watchdogOf(env, pid),
    ready: () => tell('READY=1'),
    progress: () => tell('WATCHDOG=1'),
    status: (text, facts) => tell(`STATUS=${oneLine(text)} ${wordsOf(facts)}`),
    stopping: () => tell('STOPPING=1'),
  };
}

/** A watchdog that was set for another process, a parent of this one, is none of ours. */
function watchdogOf(env: Env, pid: number): number | undefined {
  const microseconds = Number(env['WATCHDOG_USEC']);
  const whose = env['WATCHDOG_PID'];
  if (!(microseconds > 0) || (whose !== undefined && Number(whose) !== pid)) return undefined;
  return microseconds / 1000;
}

/** The last bracket of the line, so that no text before it can pass for it. `/usr/lib/felhom/health-gate` reads it. */
const wordsOf = ({ config, journal, proxmox, localApi, hub }: LocalFacts): string =>
  `[config=${config} journal=${journal} proxmox=${proxmox} local-api=${localApi} hub=${hub}]`;

const longestStatus = 500;
const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').slice(0, longestStatus);

const journalSocket = '/run/systemd/journal/socket';

/**
 * The journal, where `stdout` is systemd's own stream to it (`JOURNAL_STREAM`, systemd.exec(5)); `undefined` elsewhere,
 * also where that name was only inherited. What is too long for a datagram is not taken.
 */
export function openLogSocket(
  env: Env,
  stdout: { readonly dev: number; readonly ino: number },
  open: () => Datagram | undefined = openDatagram,
): LogSocket | undefined {
  const send = env['JOURNAL_STREAM'] === `${stdout.dev}:${stdout.ino}` ? open() : undefined;
  return send === undefined ? undefined : (record) => send(journalSocket, recordBytes(record));
}

/** A value with line ends goes with its length before it, so that nothing in it can begin another field. */
export function recordBytes(record: LogRecord): Buffer {
  return Buffer.concat(
    Object.entries(record).map(([name, value]) => {
      if (!value.includes('\n')) return Buffer.from(`${name}=${value}\n`);
      const body = Buffer.from(value);
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(body.length));
      return Buffer.concat([Buffer.from(`${name}\n`), length, body, Buffer.from('\n')]);
    }),
  );
}
