/**
 * `reap-stub`: takes away what a killed create or restore of the agent left: mounts below its folder, loop devices, the
 * listed volumes, and the config that says nothing but `lock: create`. Each step looks first, so a second run goes on
 * where the first one was cut off.
 */
import type { Vmid, VolumeId } from '@felhom/protocol';
import { z } from 'zod';
import { atWork, isNewerThan, newestCreation, notOursAndDead, outOfRange } from './proofs.ts';
import type { GuestFacts, GuestTools, Missing } from './proofs.ts';
import { said } from './answer.ts';
import type { GuestAnswer } from './answer.ts';
import { configOf, lockOf, mountsBelow, otherConfigs } from './node-guests.ts';
import { tasksIn } from './node-tasks.ts';
import { poolEnsure } from './pool-ensure.ts';
import { volumesOf } from '../read-volumes.ts';

/** Throws when it stays open how far it came. */
export async function reapStub(
  facts: GuestFacts,
  tools: GuestTools,
  vmid: Vmid,
  listed: readonly VolumeId[],
): Promise<GuestAnswer> {
  const say = said(`cannot reap ${vmid}`);
  const proof = say.proof(() => missingProof(facts, vmid, listed));
  if (proof !== undefined) return say.not(proof);
  const found = await volumesOf(tools.perl, vmid);
  if (found.is !== 'done') return found;
  const surplus = found.volumes.filter((volume) => !listed.includes(volume));
  if (surplus.length > 0)
    return say.not({ is: 'refused', why: `volumes that nobody named lie there: ${surplus.join(', ')}` });
  const paths = await pathsOf(tools.pvesm, found.volumes);
  // Listing may have taken a while.
  const still = say.proof(() => missingProof(facts, vmid, listed));
  if (still !== undefined) return say.not(still);

  // Not lazily: what is in use belongs to something that lives.
  for (const [at, mounted] of mountsBelow(facts.places, vmid).entries()) {
    const { code, stderr } = await tools.umount(['--', mounted]);
    if (code !== 0 && at === 0) return say.not({ is: 'busy', why: `${mounted} cannot be unmounted: ${stderr}` });
    if (code !== 0) throw new Error(`cannot reap ${vmid}: ${mounted} cannot be unmounted: ${stderr}`);
  }
  // As the host sees it, should this process see something else.
  if (mountsBelow(facts.places, vmid).length > 0)
    throw new Error(`cannot reap ${vmid}: something of it is still mounted`);
  for (const device of await loopsOn(tools.losetup, paths)) await mustEnd(tools.losetup, ['--detach', device]);
  for (const volume of found.volumes) await mustEnd(tools.pvesm, ['free', volume]);
  const { node } = facts.policy;
  const config = configOf(facts.places, node, vmid);
  if (config !== undefined) {
    if (lockOf(config) !== undefined) await mustEnd(tools.pct, ['unlock', String(vmid)]);
    await mustEnd(tools.pct, ['destroy', String(vmid)]);
  }
  const pooled = await poolEnsure(facts, tools, vmid);
  if (pooled.is !== 'done') throw new Error(`${pooled.text}; the stub is gone`);
  return pooled;
}

/** What does not hold; `undefined`: this is a stub of the agent's, and it is dead. */
function missingProof(facts: GuestFacts, vmid: Vmid, listed: readonly VolumeId[]): Missing | undefined {
  const { places, policy } = facts;
  const missing = outOfRange(policy, vmid);
  if (missing !== undefined) return missing;
  const foreign = listed.find((volume) => !carries(volume, vmid));
  if (foreign !== undefined) return { is: 'refused', why: `${foreign} is no volume of it` };
  const tasks = tasksIn(places.tasks);
  const creation = newestCreation(tasks, vmid);
  const alive = notOursAndDead(facts, creation, 'create task') ?? atWork(facts, tasks, vmid);
  if (alive !== undefined) return alive;
  const config = configOf(places, policy.node, vmid);
  const text = config?.text.trim() ?? '';
  // Empty is what `pct unlock` makes of it, and so what a run leaves that was cut off.
  if (text !== '' && text !== 'lock: create') return { is: 'refused', why: 'its config is more than a locked stub' };
  if (text !== '' && config !== undefined && creation !== undefined && isNewerThan(config, creation))
    return { is: 'refused', why: 'its config was written after the last word of its create task' };
  for (const { file, text: other } of otherConfigs(places, policy.node, vmid)) {
    if (file.endsWith(`/${vmid}.conf`)) return { is: 'refused', why: `another guest has its number: ${file}` };
    const used = listed.find((volume) => namesVolume(other, volume));
    if (used !== undefined) return { is: 'refused', why: `another guest names ${used}: ${file}` };
  }
  return undefined;
}

/** As every storage of Proxmox names a container's volumes. PVE: Storage/Plugin.pm parse_volname. */
const carries = (volume: VolumeId, vmid: Vmid): boolean =>
  new RegExp(`(?:^|[/:])(?:vm|subvol|base|basevol)-${vmid}-[^/]+$`).test(volume);

/** `mp0: local:9001/vm-9001-disk-1.raw,mp=/srv,…`, in snapshots too. */
const namesVolume = (config: string, volume: VolumeId): boolean =>
  config.split('\n').some((line) => line.split(/[ ,=]+/).includes(volume));

async function pathsOf(pvesm: GuestTools['pvesm'], volumes: readonly VolumeId[]): Promise<readonly string[]> {
  const paths: string[] = [];
  for (const volume of volumes) {
    const { code, stdout } = await pvesm(['path', volume]);
    if (code === 0) paths.push(stdout.trim());
  }
  return paths;
}

const loops = z.object({
  loopdevices: z.array(z.object({ name: z.string().regex(/^\/dev\/loop\d+$/), 'back-file': z.string().nullable() })),
});

/** Devices over exactly these files. losetup(8): nothing at all where there is no loop device. */
async function loopsOn(losetup: GuestTools['losetup'], paths: readonly string[]): Promise<readonly string[]> {
  const { stdout } = await mustEnd(losetup, ['--json', '--list', '--output', 'NAME,BACK-FILE']);
  if (stdout.trim() === '') return [];
  return loops
    .parse(JSON.parse(stdout))
    .loopdevices.filter((device) => paths.includes(device['back-file'] ?? ''))
    .map(({ name }) => name);
}

async function mustEnd(tool: GuestTools['pct'], args: readonly string[]): ReturnType<GuestTools['pct']> {
  const end = await tool(args);
  if (end.code !== 0)
    throw new Error(`cannot reap: ${args.join(' ')} ended with ${end.code}: ${end.stderr.slice(0, 300)}`);
  return end;
}
