/** Heavy work in order, for people: what runs, and what waits for which lane. Pure. */
import type { GuestName, Report } from '@felhom/protocol';
import type { SagaStatus } from '../kernel/index.ts';

const heavy: ReadonlyMap<string, string> = new Map([
  ['backup', 'backup'],
  ['restore-test', 'restore-test'],
  ['recover-guest', 'bringing a lost guest back'],
  ['restore-overwrite', 'restore'],
  ['restore-copy', 'restore as a copy'],
  ['restore-in-place', 'restore in place'],
  ['bring-up', 'making a guest'],
  ['prune-backup', 'pruning'],
  ['delete-backup', 'deleting a backup'],
]);

export function queueOf(status: readonly SagaStatus[]): Report['queue'] {
  const open = status.filter(({ name, parked }) => heavy.has(name) && parked === undefined);
  const holders = new Map(
    open
      .filter(({ doing }) => doing !== 'waiting-for-lanes')
      .flatMap(({ lanes, id }) => lanes.map((lane) => [lane, id])),
  );
  return open
    .toSorted((a, b) => a.since - b.since)
    .slice(0, 50)
    .map(({ id, name, lanes, since, doing }) => {
      const guest = lanes.find((lane) => lane.startsWith('guest:'))?.slice('guest:'.length);
      return {
        saga: id,
        what: heavy.get(name) ?? name,
        ...(guest === undefined ? {} : { guest: guest as GuestName }),
        since: Math.max(0, Math.trunc(since)),
        waitsFor: doing === 'waiting-for-lanes' ? lanes.filter((lane) => holders.has(lane)).slice(0, 8) : [],
      };
    });
}
