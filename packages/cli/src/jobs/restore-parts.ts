/**
 * What a restore carries over and what it frees, volume by volume: from the host's own report, never from the hub. The
 * host compares both with what the guest has by then [R3, R4]. Pure.
 */
import type { ReportedRestore } from '@felhom/protocol';
import type { VerifiedHost } from '../verified-host.ts';
import { guestNamed, notShown } from './job-file.ts';

export interface RestoreParts {
  /** Carried over as they are. Sorted. */
  readonly bulk: readonly string[];
  /** Freed. Sorted. */
  readonly lossSet: readonly string[];
}

export function restoreParts(host: VerifiedHost, name: string): RestoreParts {
  const guest = guestNamed(host, name);
  const { volumes, bulkVolumes } = guest;
  if (volumes === undefined || bulkVolumes === undefined)
    throw notShown(
      `the report of ${host.hostId} does not say which volumes of ${name} are bulk, and a restore names them apart`,
      guest.status === 'missing'
        ? `${name} is not there: look at the findings of felhom status ${host.hostId}; a lost guest comes back by itself`
        : `wait for its next pass; felhom status ${host.hostId} shows whether its config can be read`,
    );
  const strange = bulkVolumes.filter((volume) => !volumes.includes(volume));
  if (strange.length > 0)
    throw notShown(
      `${strange.join(', ')} of ${name} is in its config and not on record, so the host would refuse`,
      `felhom status ${host.hostId} shows the finding about it`,
    );
  return {
    bulk: [...new Set<string>(bulkVolumes)].sort(),
    lossSet: [...new Set<string>(volumes)]
      .filter((volume) => !(bulkVolumes as readonly string[]).includes(volume))
      .sort(),
  };
}

/** As far as the report tells it; for words. */
export function partsOf(host: VerifiedHost, uid: string): RestoreParts | undefined {
  const guest = host.report.guests.find((one) => one.uid === uid);
  if (guest?.volumes === undefined || guest.bulkVolumes === undefined) return undefined;
  const bulk = new Set<string>(guest.bulkVolumes);
  return { bulk: [...bulk].sort(), lossSet: guest.volumes.filter((volume) => !bulk.has(volume)).toSorted() };
}

/** An earlier restore of that guest which can still be undone: the host takes no other one until that is settled. */
export function undoableOf(host: VerifiedHost, uid: string): ReportedRestore | undefined {
  return host.report.restores.find((restore) => restore.uid === uid && restore.state === 'undoable');
}

/** What is said of the volumes that a job names, and of those that the host reports by now. */
export function partsNotes(host: VerifiedHost, uid: string, named: RestoreParts, undo: boolean): readonly string[] {
  const known = partsOf(host, uid);
  const same =
    known === undefined ||
    (new Set(known.bulk).symmetricDifference(new Set(named.bulk)).size === 0 &&
      new Set(known.lossSet).symmetricDifference(new Set(named.lossSet)).size === 0);
  return [
    ...named.bulk.map(
      (volume) =>
        `Files written to ${volume} since then stay as they are${undo ? ', also when this is undone' : ''}: bulk has one history.`,
    ),
    ...(same ? [] : ['By now the host reports other volumes of this guest: it will refuse.']),
  ];
}
