/** What a guest may ask of its own host: of itself only, and within quotas. */
import { rowsOf } from './gate-row.ts';
import type { GateRow } from './gate-row.ts';

const { unsigned, ranged, signed } = rowsOf('local-route');

export const localRouteRows = {
  'route-read': unsigned(1, 'GET /storage, /volumes, /backup/*, /restore-test/*', {
    underHold: 'goes-on',
    limits: "own guest only: no host names, no other guest's load",
  }),
  'route-snapshot': ranged(2, 'POST /snapshot', {
    limits: 'quota and reserve; a full quota answers 409 and evicts nothing',
  }),
  'route-rollback': ranged(3, 'POST /rollback', {
    limits: 'own snapshots only; then bootstrap again, reconcile the image, finding',
  }),
  'route-backup': ranged(4, 'POST /backup', {
    underHold: 'goes-on',
    unproven: 'goes-on',
    limits: 'a class of its own, at most four a day, yields to what is due',
  }),
  'route-redeem': ranged(5, 'POST /bootstrap/redeem', { limits: 'per port; 256-bit claim; constant work' }),
  'route-manifest': ranged(6, 'POST /manifest', { limits: '1 MiB, streamed, never trusted upward' }),
  'route-consent': signed(7, 'POST /consent', ['disclose'], {
    binds: ["the customer's confirmation", 'every guest of the host'],
  }),
  'route-lookup': unsigned(8, 'GET /operations/{id}, /audit', {
    underHold: 'goes-on',
    limits: 'by the guest of the token and a random id',
  }),
  'route-supervisor': ranged(9, 'POST /quiesce, /controller/status', {
    underHold: 'goes-on',
    limits: 'a lease has a deadline; a lie harms its teller',
  }),
} as const satisfies Record<string, GateRow>;
