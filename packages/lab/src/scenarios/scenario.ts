/** What a scenario is, and what it has at hand. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Report } from '@felhom/protocol';
import type { Stage, StageOptions } from '../stage/stage.ts';
import type { Telling } from '../stage/telling.ts';
import type { LabGuest, LabTier } from '../world/desired.ts';
import type { LabPerson } from '../world/people.ts';

export interface Scenario {
  readonly name: string;
  /** One line: what happens, and what has to be true at the end. */
  readonly about: string;
  readonly stage: Omit<StageOptions, 'folder'>;
  /** Throws `NotAsTold` or `NotReached` when it does not end as told. */
  play(scene: Scene): Promise<void>;
}

/** Something is not as the scenario says. */
export class NotAsTold extends Error {
  constructor(text: string) {
    super(text);
    this.name = 'NotAsTold';
  }
}

export interface Scene {
  readonly stage: Stage;
  readonly tell: Telling;
  /** `felhom desired apply` of these guests, its output shown. */
  readonly apply: (guests: readonly LabGuest[], tiers?: readonly LabTier[]) => Promise<void>;
  /** The guests that were applied last. */
  readonly wanted: () => readonly LabGuest[];
  /** Runs the operator's command line and shows what it prints. */
  readonly show: (argv: readonly string[]) => Promise<void>;
  /** The same as one of the people who sign. Throws when it ends with another code than `expected`, 0 unless told. */
  readonly showAs: (person: LabPerson, argv: readonly string[], expected?: number) => Promise<string>;
  /** Waits for a condition on the agent's report while progress is shown; tells it once it holds. */
  readonly expect: (
    what: string,
    condition: (report: Report) => boolean | Promise<boolean>,
    timeoutMs?: number,
  ) => Promise<Report>;
  readonly converged: (names: readonly string[], timeoutMs?: number) => Promise<Report>;
  /** Tells it when it is true, throws when it is not. */
  readonly check: (what: string, holds: boolean) => void;
  /** A change by hand on the node, as root@pam. */
  readonly byHand: (
    method: 'POST' | 'PUT' | 'DELETE',
    path: string,
    params: Readonly<Record<string, unknown>>,
  ) => Promise<void>;
}

export function createScene(stage: Stage, tell: Telling): Scene {
  const show: Scene['show'] = async (argv) => {
    const run = await stage.felhom(argv, tell.style.colour);
    tell.output(`felhom ${argv.join(' ')}`, run.out + run.err);
    if (run.code !== 0) throw new NotAsTold(`felhom ${argv.join(' ')} ended with ${run.code}`);
  };
  const showAs: Scene['showAs'] = async (person, argv, expected = 0) => {
    const run = await stage.felhomAs(person, argv, tell.style.colour);
    tell.output(`${person}$ felhom ${argv.join(' ')}`, run.out + run.err);
    if (run.code !== expected)
      throw new NotAsTold(`felhom ${argv.join(' ')} of ${person} ended with ${run.code}, not ${expected}`);
    return run.out + run.err;
  };
  const expect: Scene['expect'] = async (what, condition, timeoutMs = 90_000) => {
    let last: Report | undefined;
    await stage.until(
      what,
      async () => {
        last = await stage.report();
        tell.progress(last);
        return last !== undefined && (await condition(last));
      },
      timeoutMs,
    );
    if (tell.live && last !== undefined) tell.progress({ ...last, sagas: [] });
    tell.seen(what);
    if (last === undefined) throw new NotAsTold(`${what}: and no report of it`);
    return last;
  };
  let wanted: readonly LabGuest[] = [];
  return {
    stage,
    tell,
    show,
    showAs,
    wanted: () => wanted,
    expect,
    apply: async (guests, tiers = []) => {
      const file = join(stage.place.folder, 'guests.yaml');
      const backups = tiers.length === 0 ? {} : { backups: { tiers } };
      writeFileSync(file, `${JSON.stringify({ v: 1, guests, ...backups }, undefined, 2)}\n`);
      const run = await stage.felhom(['desired', 'apply', 'lab', file, '--yes'], tell.style.colour);
      tell.output('felhom desired apply lab guests.yaml', run.out + run.err);
      if (run.code !== 0) throw new NotAsTold(`felhom desired apply ended with ${run.code}`);
      wanted = guests;
    },
    converged: (names, timeoutMs) =>
      expect(
        names.length === 0
          ? 'converged'
          : `converged: ${names.join(' and ')} ${names.length === 1 ? 'runs' : 'run'}, exactly one of each`,
        (report) =>
          report.converged &&
          names.every((name) => report.guests.some((guest) => guest.name === name && guest.status === 'running')) &&
          names.every((name) => guestsNamed(stage, name).length === 1),
        timeoutMs,
      ),
    check: (what, holds) => {
      if (!holds) throw new NotAsTold(`not so: ${what}`);
      tell.seen(what);
    },
    byHand: async (method, path, params) => {
      const answer = await stage.pve.node.handle({ method, path, params, as: 'root@pam' });
      if (answer.status !== 200) throw new Error(`cannot do by hand ${method} ${path}: ${answer.reason}`);
      const upid = (answer.body as { readonly data: unknown }).data;
      if (typeof upid === 'string' && upid.startsWith('UPID:')) await stage.pve.node.tasks.settled(upid);
    },
  };
}

/** VMIDs of the guests on the node whose hostname is this. */
export function guestsNamed(stage: Stage, name: string): readonly number[] {
  const { node, host } = stage.pve;
  return node.guests.ids().filter((vmid) => new RegExp(`^hostname: ${name}$`, 'm').test(host.rawConfig(vmid) ?? ''));
}

/** The only guest of this name. */
export function vmidOf(stage: Stage, name: string): number {
  const [vmid, ...more] = guestsNamed(stage, name);
  if (vmid === undefined || more.length > 0)
    throw new NotAsTold(`there ${more.length > 0 ? `are ${more.length + 1} guests` : 'is no guest'} called ${name}`);
  return vmid;
}

/** Everything that lies on the node, to compare with later: configs and volumes, one line each. */
export function nodeInventory(stage: Stage): readonly string[] {
  const { node, host } = stage.pve;
  return node.guests
    .ids()
    .flatMap((vmid) => [
      `${vmid} ${host.rawConfig(vmid) ?? ''}`,
      ...node.storage.volumesOf(vmid).map(({ volid, sizeBytes, ctime }) => `${volid} ${sizeBytes} ${ctime}`),
    ]);
}

/** What is wrong on the node: stubs, locks, volumes that no config mentions. Empty on a node that is clean. */
export function leftovers(stage: Stage, vmids: readonly number[]): readonly string[] {
  const { node, host } = stage.pve;
  return vmids.flatMap((vmid) => {
    const config = host.rawConfig(vmid);
    const lock = /^lock: .*$/m.exec(config ?? '')?.[0];
    return [
      ...(lock === undefined ? [] : [`${vmid}: ${lock}`]),
      ...node.storage
        .volumesOf(vmid)
        .filter(({ volid }) => config?.includes(volid) !== true)
        .map(({ volid }) => `${volid}: in no config`),
      ...(config === undefined && host.stubFacts(vmid).mounts.size > 0 ? [`${vmid}: still mounted`] : []),
    ];
  });
}

/** Every VMID that the agent may use for guests. */
export function ownRange(stage: Stage): readonly number[] {
  const { from, to } = stage.pve.policy.vmids.guests;
  return Array.from({ length: to - from + 1 }, (_, at) => from + at);
}

/** Every VMID that restore-tests may use. */
export function scratchRange(stage: Stage): readonly number[] {
  const { from, to } = stage.pve.policy.vmids.scratch;
  return Array.from({ length: to - from + 1 }, (_, at) => from + at);
}

export const agentLog = (stage: Stage): string => readFileSync(stage.place.agentLog, 'utf8');

/** UPIDs of every restore that was started on the node, newest first. */
export const restoresOf = (stage: Stage): readonly string[] =>
  stage.pve.node.tasks
    .all()
    .filter(({ parts }) => parts.type === 'vzrestore')
    .map(({ upid }) => upid);

/** Those that still run. */
export const restoring = (stage: Stage): readonly { readonly upid: string; readonly id: string }[] =>
  stage.pve.node.tasks.running().filter(({ type }) => type === 'vzrestore');
