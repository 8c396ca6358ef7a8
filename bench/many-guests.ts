/**
 * A host with any number of guests, without bringing each up: one is really made by the agent in a simulated world, the
 * others are copies of its config and of its record, each with a name, VMID and uid of its own.
 */
import { DatabaseSync } from 'node:sqlite';
import { createAgent, createPveClient, noCrashPoints, openJournalOn, systemClock, systemRandom } from '@felhom/agent';
import type { Agent, Clock, DesiredSource, GuestRecord, HostHelper, Transport } from '@felhom/agent';
import { createSimWorld, labGuest } from '@felhom/lab';
import type { SimWorld } from '@felhom/lab';
import { backupPlan, desiredGuest, digestOfText } from '@felhom/protocol';
import type { DesiredGuest, GuestName, GuestUid, HostId, Vmid } from '@felhom/protocol';
import { unsignedParts } from '../packages/agent/test/unsigned-parts.ts';

export const firstVmid = 20_000;

export interface ManyGuests {
  readonly world: SimWorld;
  readonly desired: readonly DesiredGuest[];
  readonly records: readonly GuestRecord[];
}

/** Guests that run and are exactly as desired state wants them. */
export async function manyGuests(count: number): Promise<ManyGuests> {
  const world = await createSimWorld({
    seed: 1,
    policy: {
      vmids: {
        guests: { from: firstVmid, to: firstVmid + Math.max(20, count) - 1 },
        scratch: { from: 19_000, to: 19_009 },
      },
    },
  });
  const vmids = Array.from({ length: Math.max(20, count) }, (_, at) => firstVmid + at);
  await asRoot(world, 'PUT', '/pools', { poolid: world.policy.pool, vms: vmids.join(',') });
  world.hub.publish([labGuest('original')]);
  const { agent } = world.boot();
  const made = await world.until(() => agent.report().converged, 300_000);
  const [original] = agent.guests();
  if (!made || original === undefined) throw new Error('cannot measure: the first guest did not come up');
  world.cut();
  return copies(world, original, count);
}

async function copies(world: SimWorld, original: GuestRecord, count: number): Promise<ManyGuests> {
  const text = world.host.rawConfig(original.vmid) ?? '';
  const { inside } = world.node.guests;
  const running = inside.running.get(original.vmid);
  if (running === undefined) throw new Error('cannot measure: the first guest does not run');
  const desired: DesiredGuest[] = [];
  const records: GuestRecord[] = [];
  for (let at = 0; at < count; at++) {
    const vmid = (firstVmid + at) as Vmid;
    const name = `guest-${String(at).padStart(4, '0')}` as GuestName;
    const uid = `${original.uid.slice(0, 22)}${base26(at)}` as GuestUid;
    const own = (part: string): string =>
      part
        .replaceAll(original.uid, uid)
        .replaceAll(`hostname: ${original.name}`, `hostname: ${name}`)
        .replaceAll(`vm-${original.vmid}-`, `vm-${vmid}-`)
        .replaceAll(`:${original.vmid}/`, `:${vmid}/`);
    world.host.setRawConfig(vmid, own(text));
    inside.running.set(vmid, running);
    const read = await asRoot(world, 'GET', `/nodes/${world.node.name}/lxc/${vmid}/config`, {});
    records.push({
      ...original,
      uid,
      name,
      vmid,
      volumes: original.volumes.map((volume) => ({ ...volume, volid: own(volume.volid) as typeof volume.volid })),
      configDigest: (read as { readonly digest: string }).digest,
    });
    desired.push(desiredGuest.parse(labGuest(name)));
  }
  return { world, desired, records };
}

const base26 = (at: number): string =>
  [17_576, 676, 26, 1].map((unit) => String.fromCodePoint(97 + (Math.floor(at / unit) % 26))).join('');

async function asRoot(
  world: SimWorld,
  method: 'GET' | 'PUT',
  path: string,
  params: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const answer = await world.node.handle({ method, path, params, as: 'root@pam' });
  if (answer.status !== 200) throw new Error(`cannot build the world: ${method} ${path}: ${answer.reason}`);
  return (answer.body as { readonly data: unknown }).data;
}

/** An agent whose passes are made one at a time, when the benchmark says so. */
export interface SteppedAgent {
  readonly agent: Agent;
  /** One pass, from the wake-up to the report. */
  pass(): Promise<void>;
  stop(): Promise<void>;
}

/** No other sleep of the agent has this length. */
const pauseMs = 1_013;

export function steppedAgent({ world, desired, records }: ManyGuests, transport: Transport): SteppedAgent {
  const clock = systemClock();
  const journal = openJournalOn(new DatabaseSync(':memory:'), { clock, random: systemRandom() });
  for (const record of records) journal.put({ key: `guest/${record.uid}`, v: 1, body: record });
  let passed: () => void = () => undefined;
  let goOn: () => void = () => undefined;
  const stepped: Clock = {
    ...clock,
    sleep: (ms, signal) => {
      if (ms !== pauseMs) return clock.sleep(ms, signal);
      passed();
      return new Promise((resolve, reject) => {
        goOn = resolve;
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
    },
  };
  const agent = createAgent({
    host: 'bench' as HostId,
    version: 'bench',
    journal,
    crashPoints: noCrashPoints,
    clock: stepped,
    random: systemRandom(),
    log: { info: () => undefined, warn: () => undefined, error: (text, facts) => console.error(text, facts) },
    proxmox: createPveClient({ transport, node: world.node.name, token: world.token, clock }),
    tokenId: world.tokenId,
    helper: noHelper,
    ...unsignedParts(),
    policy: () => world.policy,
    source: fixedSource(desired),
    reconcile: { intervalMs: 3_600_000, pauseMs },
    onHalt: (why) => {
      throw new Error(`cannot measure: the agent halted: ${why.text}`);
    },
  });
  let started = false;
  return {
    agent,
    pass: () =>
      new Promise((resolve) => {
        passed = resolve;
        if (started) {
          agent.wake();
          goOn();
        } else agent.start();
        started = true;
      }),
    stop: () => agent.stop(),
  };
}

/** Desired state as it was adopted once; parsing it is no part of a pass. */
function fixedSource(guests: readonly DesiredGuest[]): DesiredSource {
  const backups = backupPlan.parse({});
  const state = { v: 1 as const, lineage: 'benchbenchbenchbenchbenchb', generation: 1, guests: [...guests], backups };
  const text = JSON.stringify(state);
  const held = { is: 'held' as const, state, digest: digestOfText(text), receivedAt: 0, text };
  return {
    is: 'file',
    open: () => ({ refresh: () => Promise.resolve(false), held: () => held, refusal: () => undefined }),
  };
}

const unused = (): never => {
  throw new Error('cannot measure: a pass that changes nothing asked the root helper');
};
const noHelper: HostHelper = {
  volumesOf: unused,
  reapStub: unused,
  archiveDigest: unused,
  scratchRead: unused,
  guestMounts: unused,
  keyTest: unused,
  unlock: unused,
  poolEnsure: unused,
  tunnelRestart: unused,
  show: unused,
};
