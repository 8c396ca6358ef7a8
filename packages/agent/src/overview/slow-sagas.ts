/**
 * Sagas that stand still. A saga may take its time and the watchdog never ends it, because whoever waits in the kernel
 * for a dead disk or server is not helped by being killed; so a person is told which step it is. Pure.
 */
import type { Finding } from '@felhom/protocol';
import type { SagaStatus } from '../kernel/runner.ts';

/** Milliseconds without a record and without another word. What is given up by itself is given up sooner. */
const patienceMs = 30 * 60_000;
/** As long as the longest reading by root's program may take. */
const longPatienceMs = 6 * 3_600_000;
/** Steps that read or write whole archives: tar says nothing until it is done. */
const longSteps: ReadonlySet<string> = new Set([
  'assess',
  'capture',
  'check',
  'content',
  'dump',
  'finish',
  'restore',
  'verify',
]);

type Seen = Pick<SagaStatus, 'id' | 'name' | 'doing' | 'step' | 'progress' | 'movedAt'>;

export function slowSagas(sagas: readonly Seen[], now: number): Finding[] {
  return sagas.flatMap(({ id, name, doing, step, progress, movedAt }): Finding[] => {
    // Who waits for its turn waits for another one, and parked sagas have a finding of their own.
    if (step === undefined || (doing !== 'running' && doing !== 'unwinding')) return [];
    if (now - movedAt < (longSteps.has(step) ? longPatienceMs : patienceMs)) return [];
    const word = progress === undefined ? '' : `: ${progress.text}`;
    return [
      {
        key: 'saga.slow',
        severity: 'warning',
        subject: id,
        text: `${name} stands still at step ${step}${word}`.slice(0, 1000),
        advice: {
          text: 'It goes on by itself once it gets its answer; restarting the agent does not help. Look for a task of Proxmox that hangs, and for a target that does not answer.',
          command: 'felhom-agent journal',
        },
        since: movedAt,
      },
    ];
  });
}
