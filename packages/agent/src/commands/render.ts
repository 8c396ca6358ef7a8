/** Plan, checks and journal as people read them. */
import { formatAge, formatDuration, printable, renderTable } from '@felhom/terminal';
import type { Style, Tone } from '@felhom/terminal';
import type { PlannedEffect } from '../open-work.ts';
import type { CheckResult } from '../doctor/index.ts';
import type { JournaledSaga } from './open-host.ts';

const planTones = { allowed: 'good', blocked: 'warn', refused: 'bad', unknown: 'warn' } as const satisfies Record<
  PlannedEffect['verdict'],
  Tone
>;

export function renderPlan(effects: readonly PlannedEffect[], style: Style): string {
  if (effects.length === 0)
    return 'Nothing to do now. felhom-agent status shows whether anything waits for a person.\n';
  return renderTable(
    [{ title: 'verdict' }, { title: 'guest' }, { title: 'effect' }, { title: 'why' }],
    effects.map(({ effect, verdict, why }) => [
      style.paint(planTones[verdict], verdict),
      effect.kind === 'guest-provision' ? effect.desired.name : effect.guest.name,
      'from' in effect ? `${effect.kind} ${text(effect.from)} -> ${text(effect.to)}` : effect.kind,
      printable(why?.text ?? ''),
    ]),
    style,
  );
}

const text = (value: unknown): string => printable(typeof value === 'string' ? value : JSON.stringify(value));

const checkTones = { ok: 'good', warning: 'warn', failed: 'bad', skipped: 'dim' } as const satisfies Record<
  CheckResult['verdict'],
  Tone
>;

export function renderChecks(checks: readonly CheckResult[], style: Style): string {
  return checks
    .map(({ check, verdict, text, advice }) => {
      const line = `${style.paint(checkTones[verdict], verdict.padEnd(8))} ${printable(check)}: ${printable(text)}\n`;
      return advice === undefined ? line : `${line}         next: ${printable(advice)}\n`;
    })
    .join('');
}

export function renderJournal(sagas: readonly JournaledSaga[], now: number, style: Style): string {
  if (sagas.length === 0) return 'No sagas yet.\n';
  return renderTable(
    [{ title: 'saga' }, { title: 'began' }, { title: 'took', align: 'right' }, { title: 'end' }, { title: 'why' }],
    sagas.map((saga) => [
      saga.id,
      formatAge(saga.startedAt, now),
      formatDuration(saga.lastAt - saga.startedAt),
      style.paint(saga.end === 'completed' ? 'good' : saga.end === 'open' ? 'note' : 'bad', saga.end),
      printable(saga.why?.text ?? ''),
    ]),
    style,
  );
}
