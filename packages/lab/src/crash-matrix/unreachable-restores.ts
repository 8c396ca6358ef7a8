/** Points of restores, checkpoints and controllers that exist by the shape of a saga and that no run comes by. */
import type { CrashPoint } from '@felhom/agent';

const synchronous = 'a config write answers when it is done: there is no task and no handle';
const byRoot = 'the root helper answers when it is done: there is no task and no handle';
const watching = 'watching only reads';
const inJournal = 'what a controller is offered is a document of the journal itself';

const handles = (saga: string, steps: readonly string[], why: string): Readonly<Record<CrashPoint, string>> =>
  Object.fromEntries(steps.map((step) => [`${saga}/${step}/handle-written` as CrashPoint, why]));

const undone = (saga: string, step: string, why: string): Readonly<Record<CrashPoint, string>> =>
  Object.fromEntries(
    ['before-intent', 'after-intent', 'effect-done', 'before-outcome', 'after-outcome'].map((moment) => [
      `${saga}/${step}/undo/${moment}` as CrashPoint,
      why,
    ]),
  );

const alreadyDown = 'a guest whose start is taken back did not stay up: it is down already';
const stillUp =
  'what ran still runs when it is shelved, and the step behind has brought it up again: nothing is started';
const behind = 'it lies past the point of no return: nothing of it is taken back';
const between = 'it turns back only where the very next step is refused, and no story falls between two steps';

const toldByBackup = 'the guest of the story has snapshots; saga backup tells the same step';

export const unreachableOfRestores: Readonly<Record<CrashPoint, string>> = {
  ...handles(
    'restore-overwrite',
    ['shelve', 'fit', 'cut-old', 'connect', 'claim', 'enable', 'keep'].map((step) => `${step}/run`),
    synchronous,
  ),
  ...handles('restore-overwrite', ['cut-old/undo', 'connect/undo', 'claim/undo'], synchronous),
  ...handles('restore-overwrite', ['up/run'], watching),
  ...handles(
    'undo-restore',
    ['shelve', 'cut-restored', 'open', 'connect', 'mark'].map((step) => `${step}/run`),
    synchronous,
  ),
  ...handles('undo-restore', ['cut-restored/undo', 'open/undo', 'connect/undo'], synchronous),
  ...handles('undo-restore', ['up/run'], watching),
  ...handles('undo-restore', ['pool/run'], byRoot),
  ...handles('finish-restore', ['unprotect/run', 'unprotect/undo'], synchronous),
  ...handles('finish-restore', ['pool/run'], byRoot),
  ...handles('restore-copy', ['fit/run', 'connect/run', 'enable/run'], synchronous),
  ...handles('restore-copy', ['up/run'], watching),
  ...handles(
    'restore-in-place',
    ['shelve', 'cut', 'fit', 'connect', 'claim', 'enable'].map((step) => `${step}/run`),
    synchronous,
  ),
  ...handles('restore-in-place', ['cut/undo', 'claim/undo'], synchronous),
  ...handles('restore-in-place', ['up/run'], 'it runs already, so nothing is started again'),
  ...handles('restore-in-place', ['start/undo', 'restore/undo'], behind),
  ...undone('restore-in-place', 'start', behind),
  ...undone('restore-in-place', 'claim', behind),
  ...undone('restore-in-place', 'restore', behind),
  ...handles('restore-in-place', ['shelve/undo'], stillUp),
  ...handles('restore-overwrite', ['shelve/undo'], stillUp),
  ...handles('undo-restore', ['shelve/undo'], stillUp),
  ...handles('restore-overwrite', ['start/undo', 'try-start/undo'], alreadyDown),
  ...handles('restore-overwrite', ['try-stop/undo'], 'a guest that was tried is left down'),
  ...handles('undo-restore', ['start/undo'], alreadyDown),
  ...handles('restore-copy', ['start/undo'], alreadyDown),
  ...handles('restore-in-place', ['pool/run'], byRoot),
  ...handles('checkpoint', ['marker/run'], synchronous),
  ...handles('checkpoint', ['release/run', 'dump/undo'], toldByBackup),
  ...undone('checkpoint', 'dump', toldByBackup),
  ...handles('checkpoint', ['snapshot/undo'], 'what a failed try left is cleared by the next one'),
  ...handles('rollback', ['trace/run', 'trace/undo', 'mark/run', 'claim/run', 'claim/undo'], synchronous),
  ...undone('rollback', 'claim', behind),
  ...undone('rollback', 'trace', between),
  ...handles('issue-claim', ['claim/run', 'claim/undo'], synchronous),
  ...handles('drop-claim', ['write/run'], synchronous),
  ...handles('update-controller', ['offer/run', 'offer/undo'], inJournal),
  ...handles('update-controller', ['healthy/run'], watching),
};
