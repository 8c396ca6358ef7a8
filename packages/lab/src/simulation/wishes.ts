/** Events: somebody changes desired state, sensibly or not. */
import { labGuest } from '../world/desired.ts';
import type { LabGuest } from '../world/desired.ts';
import type { HubMood } from '../world/sim-hub.ts';
import { openSagas } from '../world/traces.ts';
import { publish } from './play.ts';
import type { Play } from './play.ts';

const mostGuests = 4;

type Wish = (play: Play, at: number) => readonly unknown[] | undefined;

const changed = (play: Play, at: number, change: (guest: LabGuest) => LabGuest): readonly LabGuest[] =>
  play.wanted.map((guest, i) => (i === at ? change(guest) : guest));

const wishes: Readonly<Record<string, Wish>> = {
  'one more guest': (play) => {
    if (play.wanted.length >= mostGuests) return undefined;
    play.named += 1;
    const name = `g${play.named}`;
    const volumes = labGuest(name).volumes.slice(0, play.random.int(3));
    return [
      ...play.wanted,
      labGuest(name, { volumes, rootfs: { storage: 'guests', sizeGiB: 1 + play.random.int(2) } }),
    ];
  },
  'more memory': (play, at) => changed(play, at, (guest) => ({ ...guest, memoryMiB: guest.memoryMiB + 128 })),
  'less memory': (play, at) =>
    changed(play, at, (guest) => ({ ...guest, memoryMiB: Math.max(64, guest.memoryMiB - 128) })),
  'more cores': (play, at) => changed(play, at, (guest) => ({ ...guest, cores: guest.cores + 1 })),
  'a larger volume': (play, at) =>
    changed(play, at, (guest) => ({
      ...guest,
      volumes: guest.volumes.map((volume, i) => (i === 0 ? { ...volume, sizeGiB: volume.sizeGiB + 1 } : volume)),
    })),
  'a larger root': (play, at) =>
    changed(play, at, (guest) => ({ ...guest, rootfs: { ...guest.rootfs, sizeGiB: guest.rootfs.sizeGiB + 1 } })),
  'a smaller volume': (play, at) =>
    changed(play, at, (guest) => ({
      ...guest,
      volumes: guest.volumes.map((volume) => ({ ...volume, sizeGiB: Math.max(1, volume.sizeGiB - 1) })),
    })),
  'one more volume': (play, at) =>
    changed(play, at, (guest) => {
      const n = guest.volumes.length;
      const storage = play.random.chance(0.5) ? 'guests' : 'bulk';
      const volume = { name: `v${n}`, path: `/srv/v${n}`, storage, sizeGiB: 1, backup: storage === 'guests' };
      return n >= 4 ? guest : { ...guest, volumes: [...guest.volumes, volume] };
    }),
  'a volume fewer': (play, at) => changed(play, at, (guest) => ({ ...guest, volumes: guest.volumes.slice(0, -1) })),
  'another hostname': (play, at) =>
    changed(play, at, (guest) => ({ ...guest, hostname: `h${play.random.int(1000)}-${guest.name}` })),
  'a tag': (play, at) => changed(play, at, (guest) => ({ ...guest, tags: [`t${play.random.int(5)}`] })),
  'another network': (play, at) =>
    changed(play, at, (guest) => ({ ...guest, networks: [{ name: 'eth0', bridge: 'vmbr9', ipv4: 'dhcp' }] })),
  'a guest renamed': (play, at) => {
    play.named += 1;
    return changed(play, at, (guest) => ({ ...guest, name: `g${play.named}` }));
  },
  'a guest dropped': (play, at) => play.wanted.filter((_, i) => i !== at),
  'everything dropped': () => [],
};

/** What gives nothing away. */
const mild: readonly string[] = [
  'one more guest',
  'more memory',
  'more cores',
  'a larger volume',
  'a larger root',
  'one more volume',
  'a tag',
];

const nonsense: readonly unknown[] = [
  [{ name: '../etc', golden: 'debian-13' }],
  [{ ...labGuest('huge'), memoryMiB: -5 }],
  [{ ...labGuest('twin') }, { ...labGuest('twin') }],
  [{ ...labGuest('scratchy'), scratch: true }],
  [null],
];

/** Most often one more guest at first, later anything. */
export async function wish(play: Play): Promise<void> {
  const kinds = play.isMild ? mild : Object.keys(wishes);
  const kind = play.wanted.length === 0 || play.random.chance(0.25) ? 'one more guest' : play.random.pick(kinds);
  const guests = wishes[kind]?.(play, play.random.int(Math.max(1, play.wanted.length)));
  if (guests === undefined) return;
  play.note(`desired state: ${kind}`);
  play.wanted = guests as readonly LabGuest[];
  publish(play, guests);
  // Often the next event comes while it is being carried out.
  if (play.random.chance(0.6)) await play.world.until(() => openSagas(play.world).length > 0, 30_000);
}

export function nonsensicalWish(play: Play): void {
  play.note('desired state: nonsense');
  publish(play, play.random.pick(nonsense) as readonly unknown[]);
}

const moods: readonly HubMood[] = ['unreachable', 'old', 'forged', 'unknown-field', 'truncated', 'empty-offer'];

export function changeMood(play: Play): void {
  const { hub } = play.world;
  const mood = hub.mood === 'well' ? play.random.pick(moods) : 'well';
  // A document that the agent does not hold yet cannot be forged: whatever the hub says first is what it says.
  const held = play.world.life()?.agent.held();
  const holdsNewest = held?.is === 'held' && held.digest === play.newest;
  hub.mood = mood === 'forged' && !holdsNewest ? 'well' : mood;
  play.note(`hub: ${hub.mood}`);
}
