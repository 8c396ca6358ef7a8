/**
 * `scratch-read`: how many files are in the volumes of a scratch guest that runs, how many bytes, and the hashes of some;
 * seen as the guest's own uid 0 sees them, from inside its namespaces [R24]. What a guest made of its disk can mislead
 * nobody but itself: no link is followed, and whoever looks is nobody on the host.
 */
import { digest } from '@felhom/protocol';
import type { FoundVolume, Vmid } from '@felhom/protocol';
import { z } from 'zod';
import type { HostCommand } from '../../ports/host-command.ts';
import type { ScratchQuestion } from '../../ports/host-helper.ts';
import { isIn, newestCreation } from './proofs.ts';
import type { GuestFacts } from './proofs.ts';
import { said } from './answer.ts';
import { configOf, firstProcessOf } from './node-guests.ts';
import type { FirstProcess } from './node-guests.ts';
import { tasksIn } from './node-tasks.ts';
import { scratchProgram } from './scratch-program.ts';

export type ScratchAnswer =
  { readonly is: 'done'; readonly found: FoundVolume[] } | { readonly is: 'refused' | 'busy'; readonly text: string };

/** Longer than any restore-test waits for it, and an end to whatever a guest's file system does with its readers. */
const longestSeconds = 3 * 3600;
const mostEntries = 5_000_000;
const mostBytes = 64 * 1024 ** 3;

export async function scratchRead(
  facts: GuestFacts,
  perl: HostCommand,
  vmid: Vmid,
  volumes: readonly ScratchQuestion[],
): Promise<ScratchAnswer> {
  const say = said(`cannot look into ${vmid}`);
  const { places, policy } = facts;
  if (!isIn(policy.vmids.scratch, vmid))
    return say.not({ is: 'refused', why: 'its VMID is not in the range of scratch guests' });
  const guest = say.proof(() => {
    if (configOf(places, policy.node, vmid) === undefined)
      return { is: 'refused' as const, why: 'there is no such guest' };
    const creation = newestCreation(tasksIn(places.tasks), vmid);
    if (creation?.user !== policy.token)
      return { is: 'refused' as const, why: 'it was not created by the agent, as far as the node remembers' };
    const first = firstProcessOf(places, vmid);
    if (first === undefined) return { is: 'refused' as const, why: 'it does not run' };
    // Its root would be the host's.
    if (first.hostUid === 0) return { is: 'refused' as const, why: 'it has no user namespace' };
    return { is: 'guest' as const, first };
  });
  if (guest.is !== 'guest') return say.not(guest);
  const looked = await look(perl, guest.first, volumes);
  return looked.is === 'done' ? looked : say.not(looked);
}

const answer = z.array(
  z.strictObject({
    files: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
    bytes: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
    samples: z.array(z.tuple([z.number().int().min(0).max(Number.MAX_SAFE_INTEGER), digest]).nullable()),
  }),
);

type Looked =
  { readonly is: 'done'; readonly found: FoundVolume[] } | { readonly is: 'refused' | 'busy'; readonly why: string };

/** Real system calls, as root only. */
export async function look(
  perl: HostCommand,
  first: FirstProcess,
  volumes: readonly ScratchQuestion[],
  { seconds = longestSeconds, entries = mostEntries, bytes = mostBytes } = {},
): Promise<Looked> {
  const numbers = [first.pid, first.startTicks, first.hostUid, seconds, entries, bytes].map(String);
  try {
    const asked = JSON.stringify(volumes.map(({ path, samples }) => ({ path, samples })));
    const { code, stdout, stderr } = await perl(['-e', scratchProgram, '--', ...numbers], asked);
    if (code !== 0) return { is: 'refused', why: stderr === '' ? `perl ended with ${code}` : stderr };
    const read = answer.safeParse(JSON.parse(stdout));
    const isWhole =
      read.success &&
      read.data.length === volumes.length &&
      read.data.every(({ samples }, at) => samples.length === volumes[at]?.samples.length);
    if (!isWhole) return { is: 'busy', why: 'perl answered something else' };
    const found = read.data.map(({ files, bytes: sum, samples }, at): FoundVolume => ({
      path: volumes[at]?.path ?? '',
      files,
      bytes: sum,
      samples: samples.map((one) => (one === null ? null : { sizeBytes: one[0], sha256: one[1] })),
    }));
    return { is: 'done', found };
  } catch (error) {
    return { is: 'busy', why: error instanceof SyntaxError ? 'perl answered no JSON' : String(error) };
  }
}
