/** A guest of somebody else inside our range: the token could remove it, the agent must not even touch it. */
import type { EnrolledNode } from './enrolled-node.ts';
import type { SimClock } from '../simulation/sim-clock.ts';

export interface Neighbour {
  readonly vmid: number;
  /** What is no longer as it was; empty = untouched. */
  differences(): readonly string[];
}

type World = EnrolledNode & { readonly clock: SimClock };

/** Made by root from the golden archive, with a data volume of its own. */
export async function addNeighbour(world: World, vmid: number): Promise<Neighbour> {
  const { node, clock, policy } = world;
  const archive = policy.goldens['debian-13']?.archive;
  const answer = await clock.runUntil(
    node.handle({
      method: 'POST',
      path: `/nodes/${node.name}/lxc`,
      as: 'root@pam',
      params: {
        vmid,
        ostemplate: archive,
        restore: 1,
        storage: 'guests',
        rootfs: 'guests:1',
        mp0: 'guests:1,mp=/srv/theirs',
        hostname: `neighbour-${vmid}`,
        unique: 1,
      },
    }),
  );
  if (answer.status !== 200) throw new Error(`cannot add neighbour ${vmid}: ${answer.reason}`);
  await clock.runUntil(node.tasks.settled((answer.body as { readonly data: string }).data));
  return watchGuest(world, vmid);
}

/** Remembers how a guest is now. */
export function watchGuest({ node, host }: World, vmid: number): Neighbour {
  const look = (): Readonly<Record<string, string>> => ({
    config: host.rawConfig(vmid) ?? 'no config',
    volumes: node.storage
      .volumesOf(vmid)
      .map(({ volid, sizeBytes, ctime }) => `${volid} ${sizeBytes} ${ctime}`)
      .toSorted()
      .join('\n'),
  });
  const before = look();
  return {
    vmid,
    differences: () =>
      Object.entries(look())
        .filter(([what, now]) => now !== before[what])
        .map(([what, now]) => `${what} of foreign guest ${vmid} changed from\n${before[what] ?? ''}\nto\n${now}`),
  };
}
