/** Crash points that exist by the shape of a saga and that no run comes by, each with the reason. */
import type { CrashPoint } from '@felhom/agent';
import { unreachableOfRestores } from './unreachable-restores.ts';

const synchronous = 'a config write answers when it is done: there is no task and no handle';

const byRoot = 'the root helper answers when it is done: there is no task and no handle';

const unwatched = 'once it was seen to run only a process that ended in between turns back';

export const unreachable: Readonly<Record<CrashPoint, string>> = {
  'bring-up/identity/run/handle-written': synchronous,
  'bring-up/mounts/run/handle-written': synchronous,
  'bring-up/network/run/handle-written': synchronous,
  'bring-up/enable/run/handle-written': synchronous,
  'bring-up/claim/run/handle-written': synchronous,
  'bring-up/claim/undo/handle-written': synchronous,
  'change-config/apply/run/handle-written': synchronous,
  'add-volume/attach/run/handle-written': synchronous,
  'change-at-rest/write/run/handle-written': synchronous,
  'change-at-rest/write/undo/handle-written': synchronous,
  'change-at-rest/start/undo/handle-written': 'a guest whose start is taken back did not stay up: it is down already',
  'quarantine/no-boot/run/handle-written': synchronous,
  'quarantine/no-boot/undo/handle-written': synchronous,
  'quarantine/isolate/run/handle-written': synchronous,
  'quarantine/isolate/undo/handle-written': synchronous,
  'lift-quarantine/open/run/handle-written': synchronous,
  'free-guest/unprotect/run/handle-written': synchronous,
  'free-guest/unprotect/undo/handle-written': synchronous,
  'adopt/mark/run/handle-written': synchronous,
  'adopt/mark/undo/handle-written': synchronous,
  'free-guest/pool/run/handle-written': byRoot,
  'trust-change/replace/run/handle-written': byRoot,
  'target-change/apply/run/handle-written': byRoot,
  'tunnel-change/apply/run/handle-written': byRoot,
  'break-glass-open/open/run/handle-written': byRoot,
  'break-glass-open/open/undo/handle-written': byRoot,
  'break-glass-close/close/run/handle-written': byRoot,
  'backup/marker/run/handle-written': synchronous,
  'restore-test/register/run/handle-written': 'the registry is a document of the journal itself',
  'restore-test/record/run/handle-written': 'evidence and audit log are in the journal itself',
  'restore-test/content/run/handle-written': byRoot,
  'restore-test/start/undo/before-intent': unwatched,
  'restore-test/start/undo/after-intent': unwatched,
  'restore-test/start/undo/effect-done': unwatched,
  'restore-test/start/undo/handle-written': unwatched,
  'restore-test/start/undo/before-outcome': unwatched,
  'restore-test/start/undo/after-outcome': unwatched,
  'restore-test/register/undo/handle-written': 'the registry is a document of the journal itself',
  'recover-guest/pool/run/handle-written': byRoot,
  'recover-guest/identity/run/handle-written': synchronous,
  'recover-guest/carry-over/run/handle-written': synchronous,
  'recover-guest/carry-over/undo/handle-written': synchronous,
  'recover-guest/mounts/run/handle-written': synchronous,
  'recover-guest/network/run/handle-written': synchronous,
  'recover-guest/claim/run/handle-written': synchronous,
  'recover-guest/claim/undo/handle-written': synchronous,
  'recover-guest/enable/run/handle-written': synchronous,
  'recover-guest/up/run/handle-written': 'watching the first moments only reads',
  'recover-guest/register/run/handle-written': 'the registry is a document of the journal itself',
  'recover-guest/start/undo/handle-written': 'a guest whose start is taken back did not stay up: it is down already',
  'renew-marker/marker/run/handle-written': synchronous,
  'unprotect-backup/unprotect/run/handle-written': synchronous,
  'bring-up/size/run/handle-written':
    'the restore has already made the root file system as large as asked, so nothing is grown',
  'bring-up/up/run/handle-written': 'watching the first moments only reads',
  'bring-up/register/run/handle-written': 'the registry is a document of the journal itself',
  ...unreachableOfRestores,
};
