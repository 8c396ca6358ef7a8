/** Events: what breaks. Everything that stays broken leaves its repair behind. */
import type { Fault, FaultRule } from '../fake-pve/faults/faults.ts';
import type { Play } from './play.ts';
import { pass, start } from './play.ts';
import { rangeOf } from '../world/traces.ts';
import { strangerMoves } from './people.ts';

const agentUser = 'felhom-agent@pve';

const calls: readonly Pick<FaultRule, 'method' | 'path'>[] = [
  { method: 'POST', path: /\/lxc$/ },
  { method: 'PUT', path: /\/lxc\/\d+\/config$/ },
  { method: 'PUT', path: /\/lxc\/\d+\/resize$/ },
  { method: 'POST', path: /\/lxc\/\d+\/status\/start$/ },
  { method: 'POST', path: /\/lxc\/\d+\/status\/stop$/ },
  { method: 'DELETE', path: /\/lxc\/\d+$/ },
  { method: 'GET', path: /\/lxc\/\d+\/config$/ },
  { method: 'GET', path: /\/lxc\/\d+\/status\/current$/ },
  { method: 'GET', path: /\/tasks\/[^/]+\/status$/ },
  { method: 'GET', path: /\/tasks$/ },
  { method: 'GET', path: /\/cluster\/nextid$/ },
  { method: 'GET', path: /\/cluster\/resources$/ },
  { method: 'GET', path: /\/storage/ },
  { path: /./ },
];

function anyFault({ random }: Play): Fault {
  const when = random.chance(0.5) ? ('before' as const) : ('after' as const);
  return random.pick<() => Fault>([
    () => ({ is: 'drop', when }),
    () => ({ is: 'status', status: 500, reason: 'Internal Server Error', when }),
    () => ({ is: 'status', status: 595, reason: 'Connection refused', when }),
    () => ({ is: 'status', status: 596, reason: 'Connection timed out', when }),
    () => ({ is: 'die', message: 'it just did not work\n' }),
    () => ({ is: 'delay', ms: 1_000 + random.int(90_000) }),
  ])();
}

export function callFails(play: Play): void {
  const { random, world } = play;
  const call = random.pick(calls);
  const fault = anyFault(play);
  const stays = random.chance(0.1) && fault.is !== 'delay';
  const nth = 1 + random.int(4);
  play.note(`fault: ${call.method ?? 'any'} ${call.path.source}, ${JSON.stringify(fault)}${stays ? ', for good' : ''}`);
  world.node.faults.add({ ...call, nth, fault, ...(stays ? { always: true } : {}) });
  if (stays) play.repairs.set('faults', () => world.node.faults.clear());
}

/** Just before the agent's next restore, somebody else takes the VMID that it aims at. */
export function vmidIsTaken(play: Play): void {
  play.note('fault: the VMID is taken just before the next restore');
  play.world.node.faults.add({
    method: 'POST',
    path: /\/lxc$/,
    fault: { is: 'meanwhile', act: () => strangerMoves(play) },
  });
}

export function workerDies(play: Play): void {
  const { node, tokenId } = play.world;
  const running = node.tasks.running().filter(({ upid }) => node.tasks.find(upid)?.parts.user === tokenId);
  if (running.length === 0) {
    const type = play.random.pick(['vzrestore', 'vzstart', 'resize', 'vzdestroy', 'vzstop']);
    const action = play.random.pick(['kill', 'abort'] as const);
    play.note(`the next ${type} is to ${action}`);
    node.tasks.trap({ type, action });
    return play.repairs.set('traps', () => node.tasks.clearTraps()) && undefined;
  }
  const { upid } = play.random.pick(running);
  play.note(`kill -9 ${upid}`);
  node.tasks.kill(upid);
}

/** Whatever is made next does not come up, until that is mended. */
export function guestsCannotStart(play: Play): void {
  const { host, node } = play.world;
  const free = rangeOf(play.world).filter((vmid) => !node.guests.exists(vmid));
  play.note('new guests cannot start');
  for (const vmid of free) host.setInit(vmid, 'cannot-be-executed');
  play.repairs.set('starts', () => free.forEach((vmid) => host.setInit(vmid, 'obeys')));
}

export async function nodeReboots(play: Play): Promise<void> {
  play.note('the node reboots');
  play.world.cut();
  await play.world.clock.runUntil(play.world.node.reboot());
  await play.world.clock.advance(play.random.int(30_000));
  start(play);
}

export async function powerLoss(play: Play): Promise<void> {
  play.note('the agent is killed');
  play.world.cut();
  await play.world.clock.advance(play.random.int(90_000));
  const ahead = play.random.chance(0.6) ? 1 + play.random.int(40) : 0;
  if (ahead > 0) play.note(`the agent will be killed at crash point ${ahead}`);
  let passed = 0;
  start(play, () => (passed += 1) === ahead);
}

export async function stopped(play: Play): Promise<void> {
  const life = play.world.life();
  if (life === undefined) return;
  play.note('the agent is stopped');
  play.supervised = false;
  await play.world.clock.runUntil(life.agent.stop());
  play.world.cut();
  await pass(play, play.random.int(5 * 60_000));
  start(play);
}

export function clockJumps(play: Play): void {
  // Set back, what somebody did before a guest was made looks as if it came after: then a person has to look.
  const forwards = [60_000, 3_600_000, 30 * 86_400_000];
  const backwards = [-86_400_000, -3_600_000, -60_000];
  const ms = play.random.pick(play.isMild ? forwards : [...forwards, ...backwards]);
  play.note(`the wall clock jumps by ${ms / 1000} s`);
  play.world.clock.jumpWall(ms);
}

export function suspended(play: Play): void {
  const ms = play.random.pick([10_000, 60_000, 8 * 3_600_000]);
  play.note(`the machine sleeps for ${ms / 1000} s`);
  play.world.clock.suspend(ms);
}

export function storageTrouble(play: Play): void {
  const { node } = play.world;
  const device = node.storage.hardware.device(play.random.pick(['lvm:pve/data', 'root']));
  if (device === undefined) return;
  if (device.id !== 'root' && play.random.chance(0.5)) {
    play.note(`storage ${device.id} is gone`);
    device.online = false;
    play.repairs.set(`online ${device.id}`, () => (device.online = true));
  } else {
    play.note(`storage ${device.id} is full`);
    device.otherBytes = device.capacityBytes - 2 ** 28;
    play.repairs.set(`full ${device.id}`, () => (device.otherBytes = 0));
  }
}

export function slowness(play: Play): void {
  const { pace } = play.world.node;
  const before = { ...pace };
  pace.restoreMs = play.random.pick([300, 8_000, 50_000]);
  pace.allocateMs = play.random.pick([200, 12_000, 45_000]);
  pace.startMs = play.random.pick([300, 5_000]);
  play.note(`pace: restore ${pace.restoreMs} ms, allocate ${pace.allocateMs} ms, start ${pace.startMs} ms`);
  if (!play.repairs.has('pace')) play.repairs.set('pace', () => void Object.assign(pace, before));
}

export function rightsLost(play: Play): void {
  const { access } = play.world.node;
  const own = access.config.acl.filter((entry) => entry.ugid === agentUser);
  const entry = play.random.pick(own);
  if (entry === undefined || play.repairs.has('rights')) return;
  play.note(`the token loses ${entry.roleid} on ${entry.path}`);
  const before = access.config.acl;
  access.config.acl = before.filter((other) => other !== entry);
  play.repairs.set('rights', () => (access.config.acl = before));
}

export function tokenRevoked(play: Play): void {
  const tokens = play.world.node.access.config.users.get(agentUser)?.tokens;
  const token = tokens?.get('agent');
  if (tokens === undefined || token === undefined) return;
  play.note('the token is revoked');
  tokens.delete('agent');
  play.repairs.set('token', () => tokens.set('agent', token));
}

export function goldenMissing(play: Play): void {
  const { node, policy } = play.world;
  const volid = policy.goldens['debian-13']?.archive ?? '';
  const path = node.storage.diskPath('backup', `dump/${volid.slice(volid.indexOf('/') + 1)}`);
  if (play.repairs.has('golden')) return;
  play.note('the golden image is gone');
  node.storage.disk.moveFile(path, `${path}.gone`);
  play.repairs.set('golden', () => node.storage.disk.moveFile(`${path}.gone`, path));
}

/** One of the troubles ends, or all of them. */
export function mended(play: Play): void {
  const troubles = [...play.repairs.keys()];
  if (troubles.length === 0) return;
  const trouble = play.random.pick(troubles);
  play.note(`mended: ${trouble}`);
  play.repairs.get(trouble)?.();
  play.repairs.delete(trouble);
}

export function healAll(play: Play): void {
  for (const repair of play.repairs.values()) repair();
  play.repairs.clear();
  play.world.node.faults.clear();
  play.world.node.tasks.clearTraps();
  play.world.hub.mood = 'well';
  play.world.hub.twist = undefined;
}
