/**
 * `tunnel-restart`: the one unit that the agent may have restarted. Nobody signs it, so root has limits of its own: no
 * other unit, none that somebody stopped or disabled, and only a few times per hour, whoever asks.
 */
import { renameSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Systemctl } from '../../ports/systemctl.ts';
import { placeFile } from '../durable-file.ts';
import { ownFolder, ownText } from '../root-files.ts';
import { showUnit, tunnelUnit } from './unit.ts';

const hour = 60 * 60_000;
/** One more than the agent ever asks for. */
const perHour = 4;

export interface TunnelRestartOptions {
  readonly systemctl: Systemctl;
  /** A file of root's own: one line per restart, milliseconds since the epoch. */
  readonly record: string;
  readonly now: number;
}

type Answer = { readonly is: 'done' } | { readonly is: 'refused'; readonly text: string };

/** Done: systemd took it on. Throws what leaves open whether it did. */
export async function restartTunnel({ systemctl, record, now }: TunnelRestartOptions): Promise<Answer> {
  const state = await showUnit(systemctl, ['LoadState', 'ActiveState', 'UnitFileState']);
  const active = state?.get('ActiveState') ?? '';
  const unfit =
    state === undefined
      ? 'systemd does not tell how it is'
      : state.get('LoadState') !== 'loaded'
        ? `it is ${state.get('LoadState') ?? 'unknown'}`
        : state.get('UnitFileState')?.startsWith('enabled') !== true
          ? 'it is not enabled'
          : active === 'active' || active === 'failed'
            ? undefined
            : active === 'inactive' || active === 'deactivating'
              ? 'somebody stopped it'
              : `it is ${active} already`;
  if (unfit !== undefined) return refused(unfit);
  // However the clock was moved, what lies more than an hour away says nothing about this one.
  const recent = readTimes(record).filter((at) => Math.abs(now - at) < hour);
  if (recent.length >= perHour) return refused(`it was restarted ${recent.length} times within an hour`);
  ownFolder(dirname(record));
  const text = [...recent, now].map((at) => `${at}\n`).join('');
  placeFile(record, text, 0o600, (draft) => renameSync(draft, record));
  if (active === 'failed') {
    await run(systemctl, ['reset-failed', '--', tunnelUnit]);
    await run(systemctl, ['--no-block', 'start', '--', tunnelUnit]);
  } else {
    // Not `restart`: it would start one that was stopped a moment ago.
    await run(systemctl, ['--no-block', 'try-restart', '--', tunnelUnit]);
  }
  return { is: 'done' };
}

async function run(systemctl: Systemctl, args: readonly string[]): Promise<void> {
  const { code, stderr } = await systemctl(args);
  if (code !== 0) throw new Error(`cannot restart the tunnel: systemctl ${args.join(' ')}: ${stderr.trim()}`);
}

function readTimes(file: string): readonly number[] {
  return ownText(file)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      if (!/^\d{1,16}$/.test(line)) throw new Error(`cannot use ${file}: a line of it does not read`);
      return Number(line);
    });
}

const refused = (why: string): Answer => ({ is: 'refused', text: `cannot restart the tunnel: ${why}` });
