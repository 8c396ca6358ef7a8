/**
 * Whose marker has to be minted anew because an archive that somebody else made holds the present one [R20]. Durable: an
 * archive counts as seen to only when the marker was written, so neither a crash nor a refusal in between loses it.
 */
import type { GuestUid } from '@felhom/protocol';
import type { Documents } from '../kernel/journal.ts';

export interface ForeignArchive {
  readonly guest: GuestUid;
  readonly archive: string;
}

export interface StaleMarkers {
  /**
   * `foreign`: what the storages list now, of all guests on record. At the very first look nothing is due: what is there
   * holds older markers or that of the day on which the guest was made, which its first backup renews.
   */
  due(foreign: readonly ForeignArchive[]): readonly GuestUid[];
  /** The marker of the guest was minted anew since `due` named it. */
  renewed(guest: GuestUid): void;
}

const key = 'backups/foreign';
const mostKept = 2000;

export function createStaleMarkers(documents: Pick<Documents, 'get' | 'put'>): StaleMarkers {
  let named: readonly ForeignArchive[] = [];
  const known = (): ReadonlySet<string> | undefined => {
    const stored = documents.get(key)?.body;
    return Array.isArray(stored) ? new Set(stored.map(String)) : undefined;
  };
  const remember = (archives: Iterable<string>): void => {
    const body = [...new Set(archives)].toSorted().slice(-mostKept);
    if (JSON.stringify(documents.get(key)?.body) !== JSON.stringify(body)) documents.put({ key, v: 1, body });
  };
  return {
    due(foreign) {
      const before = known();
      named = before === undefined ? [] : foreign.filter(({ archive }) => !before.has(archive));
      const fresh = new Set(named.map(({ archive }) => archive));
      remember(foreign.map(({ archive }) => archive).filter((archive) => !fresh.has(archive)));
      return [...new Set(named.map(({ guest }) => guest))];
    },
    renewed(guest) {
      const seenTo = named.filter((each) => each.guest === guest).map(({ archive }) => archive);
      remember([...(known() ?? []), ...seenTo]);
      named = named.filter((each) => each.guest !== guest);
    },
  };
}
