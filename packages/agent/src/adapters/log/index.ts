/**
 * Log lines for journald: `<priority>` as systemd reads it, then one JSON object. On a terminal a short human line.
 */
import type { Clock } from '../../kernel/clock.ts';
import type { Log, LogFields } from '../../ports/log.ts';

const priorities = { info: 6, warn: 4, error: 3 } as const;

export function createLog(clock: Pick<Clock, 'now'>, out: { write(text: string): unknown; isTTY?: boolean }): Log {
  const write = (level: keyof typeof priorities, message: string, fields: LogFields = {}): void => {
    if (out.isTTY === true) {
      const rest = Object.entries(fields).map(([key, value]) => `${key}=${String(value)}`);
      out.write(`${new Date(clock.now()).toISOString()} ${level} ${[message, ...rest].join(' ')}\n`);
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
