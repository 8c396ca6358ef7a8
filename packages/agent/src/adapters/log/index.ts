/**
 * Log lines. Where the journal takes records: a short human line, and each field as one that `journalctl` finds
 * (`FELHOM_CODE=hub.timeout`). On a pipe: `<priority>` as systemd reads it, then one JSON object. On a terminal a short
 * human line.
 */
import type { Clock } from '../../kernel/clock.ts';
import type { Log, LogFields } from '../../ports/log.ts';
import type { LogSocket } from '../../ports/supervisor.ts';

const priorities = { info: 6, warn: 4, error: 3 } as const;

/** `journalctl -u` is not the only way in: `journalctl -t felhom-agent`. */
const identifier = 'felhom-agent';

export function createLog(
  clock: Pick<Clock, 'now'>,
  out: { write(text: string): unknown; isTTY?: boolean },
  journal?: LogSocket,
): Log {
  const write = (level: keyof typeof priorities, message: string, fields: LogFields = {}): void => {
    const line = [message, ...told(fields).map(([key, value]) => `${key}=${value}`)].join(' ');
    const record = (): Record<string, string> => ({
      MESSAGE: line,
      PRIORITY: String(priorities[level]),
      SYSLOG_IDENTIFIER: identifier,
      ...Object.fromEntries(told(fields).map(([key, value]) => [fieldName(key), value])),
    });
    if (journal?.(record()) === true) return;
    if (out.isTTY === true) {
      out.write(`${new Date(clock.now()).toISOString()} ${level} ${line}\n`);
    } else {
      out.write(`<${priorities[level]}>${JSON.stringify({ level, message, ...fields })}\n`);
    }
  };
  return {
    info: (message, fields) => write('info', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    error: (message, fields) => write('error', message, fields),
  };
}

const told = (fields: LogFields): [string, string][] =>
  Object.entries(fields).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]]));

/** `afterFailures` → `FELHOM_AFTER_FAILURES`; journald takes capitals, digits and `_` only. */
const fieldName = (key: string): string =>
  `FELHOM_${key.replaceAll(/[A-Z]/g, (capital) => `_${capital}`).replaceAll(/[^A-Za-z0-9]/g, '_')}`.toUpperCase();
