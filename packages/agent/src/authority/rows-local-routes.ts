/** What a guest may ask of its own host: of itself only, and within quotas. The routes come with the backups piece. */
import { rowsOf } from './gate-row.ts';
import type { GateRow } from './gate-row.ts';

const { unsigned, ranged, signed } = rowsOf('local-route');
const later = { availableSince: 'backups' } as const;

export const localRouteRows = {
  'route-read': unsigned(1, 'GET /storage, /backup/*, /restore-test/*', {
    ...later,
    underHold: 'goes-on',
    limits: "own guest only: no host names, no other guest's load",
  }),
  'route-snapshot': ranged(2, 'POST /snapshot', {
    ...later,
    limits: 'quota and reserve; a full quota answers 409 and evicts nothing',
  }),
  'route-rollback': ranged(3, 'POST /rollback', {
    ...later,
    limits: 'own snapshots only; then bootstrap again, reconcile the image, finding',
  }),
  'route-backup': ranged(4, 'POST /backup', {
    ...later,
    underHold: 'goes-on',
    unproven: 'goes-on',
    limits: 'a class of its own, at most four a day, yields to what is due',
  }),
  'route-redeem': ranged(5, 'POST /bootstrap/redeem', { ...later, limits: 'per port; 256-bit claim; constant work' }),
  'route-manifest': ranged(6, 'POST /manifest', { ...later, limits: '1 MiB, streamed, never trusted upward' }),
  'route-consent': signed(7, 'POST /consent', ['disclose'], {
    ...later,
    binds: ["the customer's confirmation", 'every guest of the host'],
  }),
  'route-lookup': unsigned(8, 'GET /operations/{id}, /audit', {
    ...later,
    underHold: 'goes-on',
    limits: 'by the guest of the token and a random id',
  }),
  'route-supervisor': ranged(9, 'POST /quiesce, /controller/status', {
    ...later,
    underHold: 'goes-on',
    limits: 'a lease has a deadline; a lie harms its teller',
  }),
} as const satisfies Record<string, GateRow>;
