/** Signed one-shot jobs. Every job binds host, epoch and challenge besides what its row names. */
import { rowsOf } from './gate-row.ts';
import type { GateRow } from './gate-row.ts';

const { unsigned, signed } = rowsOf('job');

export const jobRows = {
  'job-restore-overwrite': signed(1, 'restore over a guest, with an undo', ['destroy'], {
    binds: ['uid and incarnation', 'backup id and digest', 'bulk plan', 'undo window'],
    limits: 'covers its own finish',
  }),
  'job-restore-in-place': signed(2, 'restore in place, without an undo', ['destroy'], {
    signers: 2,
    binds: ['uid and incarnation', 'backup id and proven digest', 'bulk plan'],
  }),
  'job-restore-copy': signed(3, 'restore as a copy', ['disclose'], {
    binds: ['backup id', 'fresh identity'],
    reaches: 'record',
  }),
  'job-saga': signed(4, 'undo, finish, resume, abandon', ['destroy'], {
    signers: 'of-the-saga',
    binds: ['saga id', 'its current step', 'loss set'],
    underHold: 'goes-on',
    limits: 'class and signers of the saga it leads on',
  }),
  'job-rollback': signed(5, 'rollback', ['destroy'], {
    binds: ['snapshot and its time', 'volumes reverted'],
    limits: 'good for one hour',
  }),
  'job-decommission': signed(6, 'decommission a guest', ['destroy'], {
    signers: 2,
    binds: ['loss set', 'quarantine', 'backups kept or not'],
  }),
  'job-target-detach': signed(7, 'detach or re-point a target', ['destroy', 'disclose'], {
    binds: ['serial', 'UUID', 'id file'],
  }),
  'job-target-wipe': signed(7, 'wipe a target', ['destroy', 'disclose'], {
    signers: 2,
    binds: ['serial', 'UUID', 'id file'],
    limits: 'only once it is detached; refused while anything refers to it',
  }),
  'job-backup-delete': signed(8, 'delete or un-protect a backup', ['destroy'], {
    binds: ['volume id and digest'],
    reaches: 'record',
  }),
  /** Raising one goes by this row too, and takes one signature. */
  'job-floor-lower': signed(9, 'floor, retention or cadence down', ['destroy'], {
    binds: ['old and new value'],
  }),
  'job-backup-force': signed(10, 'a backup now, above quota', [], {
    binds: ['guest', 'tier'],
    underHold: 'goes-on',
    unproven: 'goes-on',
    limits: 'none needed for data; signed for the quota',
  }),
  'job-approve': signed(11, 'approve a blocked action', ['destroy'], {
    signers: 'of-the-saga',
    binds: ['digest of the blocked action'],
    limits: 'class and signers of the action it approves',
  }),
  'job-trust-change': signed(
    12,
    'trust changed or renewed, threshold, fence',
    ['destroy', 'disclose', 'deploy', 'divert'],
    {
      signers: 'highest-touched',
      binds: ['digest of the old document'],
      underHold: 'goes-on',
    },
  ),
  'job-break-glass-open': signed(13, 'break-glass open', ['disclose'], {
    binds: ['consent ids', 'key', 'minutes'],
    underHold: 'goes-on',
  }),
  'job-break-glass-close': unsigned(13, 'break-glass close', { underHold: 'goes-on' }),
  'job-hub-re-point': signed(14, 'another hub', ['disclose'], {
    availableSince: 'host',
    signers: 2,
    binds: ['public key of the new hub'],
  }),
  'job-downgrade': signed(15, 'downgrade of agent, controller or golden', ['deploy'], {
    availableSince: 'shipping',
    binds: ['exact digest'],
  }),
  'job-adopt': signed(16, 'adopt or register again', ['destroy'], {
    binds: ['config digest', 'volume set'],
    reaches: 'record',
    limits: 'creates authority over what it names',
  }),
  'job-cancel': signed(17, 'cancel a removal', [], {
    binds: ['uid and incarnation'],
    underHold: 'goes-on',
    unproven: 'goes-on',
    limits: 'gives back what a removal has not freed yet',
  }),
  'job-tunnel-change': signed(18, 'what the tunnel lets in', ['disclose'], {
    binds: ['the declaration before', 'every rule'],
  }),
} as const satisfies Record<string, GateRow>;
