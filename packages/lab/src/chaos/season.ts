/** One node, one journal, many kills; then everything is looked at. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describeGuest, makeForeign } from '../scenarios/foreign.ts';
import { createScene, guestsNamed, leftovers, ownRange } from '../scenarios/scenario.ts';
import { createSimRandom } from '../simulation/sim-random.ts';
import type { SimRandom } from '../simulation/sim-random.ts';
import { NotReached, openStage } from '../stage/stage.ts';
import type { Stage } from '../stage/stage.ts';
import { createTelling } from '../stage/telling.ts';
import { labGuest } from '../world/desired.ts';
import type { LabGuest } from '../world/desired.ts';

export interface SeasonOptions {
  readonly folder: string;
  readonly kills: number;
  readonly seed: number;
  readonly onKill: (done: number, where: string) => void;
}

export interface SeasonResult {
  /** One entry per kill. */
  readonly killedAt: readonly string[];
  readonly guests: number;
  /** Empty: everything is as it has to be. */
  readonly faults: readonly string[];
}

/** VMID of a guest that somebody else made inside the range of the agent. */
const foreignVmid = 9001;
const guestsPerBatch = 3;
const endMs = 120_000;
const policy = {
  limits: { guests: 200, cores: 512, memoryMiB: 262_144, blastRadius: 200, spaceFactor: 1, overcommit: 10 },
};

export async function playSeason(options: SeasonOptions): Promise<SeasonResult> {
  const random = createSimRandom(options.seed);
  const stage = await openStage({
    folder: options.folder,
    pace: { restoreMs: 500, startMs: 200, stopMs: 100, allocateMs: 40, unauthorizedMs: 100 },
    guestRange: 199,
    policy,
  });
  const stopListening = endOnSignals(stage);
  // The work is done at once and its answer comes late: that is where a crash leaves things in doubt.
  const { faults: weather } = stage.pve.node;
  weather.add({ method: 'GET', path: /./, always: true, fault: { is: 'delay', ms: 5 } });
  for (const method of ['POST', 'PUT', 'DELETE'] as const)
    weather.add({ method, path: /./, always: true, fault: { is: 'delay', ms: 80 } });
  const killedAt: string[] = [];
  let wanted: readonly LabGuest[] = [];
  const faults: string[] = [];
  try {
    const silent = createTelling({ out: { write: () => true }, env: {}, now: () => Date.now() });
    await makeForeign(createScene(stage, silent), foreignVmid);
    const foreignBefore = describeGuest({ stage }, foreignVmid);
    let running = 0;
    while (killedAt.length < options.kills && faults.length === 0) {
      if (wanted.length - running < 2) wanted = await wantMore(stage, wanted);
      stage.agent.start();
      await wait(moment(random));
      const before = await lastWord(stage);
      await stage.agent.kill('SIGKILL');
      killedAt.push(before.where);
      running = before.running ?? running;
      options.onKill(killedAt.length, before.where);
      faults.push(...twins(stage, wanted), ...changed(stage, foreignBefore));
    }
    if (faults.length === 0) faults.push(...(await lookAtTheEnd(stage, wanted)), ...changed(stage, foreignBefore));
  } finally {
    stopListening();
    await stage.close();
  }
  return { killedAt, guests: wanted.length, faults };
}

function endOnSignals(stage: Stage): () => void {
  let ending = false;
  const end = (): void => {
    if (ending) return;
    ending = true;
    void stage.close().finally(() => process.exit(130));
  };
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
  return () => {
    process.off('SIGINT', end);
    process.off('SIGTERM', end);
  };
}

/** Applied while no agent runs: the next one asks at once. */
async function wantMore(stage: Stage, wanted: readonly LabGuest[]): Promise<readonly LabGuest[]> {
  const more = Array.from({ length: guestsPerBatch }, (_, at) => {
    const name = `g${String(wanted.length + at).padStart(3, '0')}`;
    return labGuest(name, {
      rootfs: { storage: 'guests', sizeGiB: 1 },
      volumes: [
        { name: 'data', path: '/srv/data', storage: 'guests', sizeGiB: 1, backup: true },
        { name: 'photos', path: '/srv/photos', storage: 'bulk', sizeGiB: 1, backup: false },
      ],
    });
  });
  const guests = [...wanted, ...more];
  const file = join(stage.place.folder, 'guests.yaml');
  writeFileSync(file, JSON.stringify({ v: 1, guests }));
  const applied = await stage.felhom(['desired', 'apply', 'lab', file, '--yes']);
  if (applied.code !== 0) throw new Error(`cannot apply desired state: ${applied.err}`);
  return guests;
}

/** Milliseconds after the start of the process. A quarter falls into its start-up, the rest all over its work. */
const moment = (random: SimRandom): number => (random.int(4) === 0 ? random.int(450) : 350 + random.int(2200));

/** What the agent said a moment before it died. */
async function lastWord(stage: Stage): Promise<{ readonly where: string; readonly running?: number }> {
  const report = await stage.report();
  if (report === undefined) return { where: 'start-up' };
  const running = report.guests.filter(({ status }) => status === 'running').length;
  const saga = report.sagas.find(({ step }) => step !== 'waiting for its turn');
  if (saga === undefined) return { where: report.lastPassAt === undefined ? 'first look' : 'between', running };
  return { where: saga.direction === 'back' ? `undoing ${saga.step}` : saga.step, running };
}

function twins(stage: Stage, wanted: readonly LabGuest[]): string[] {
  return wanted.flatMap(({ name }) => {
    const vmids = guestsNamed(stage, name);
    return vmids.length > 1 ? [`guest ${name} is there ${vmids.length} times: ${vmids.join(', ')}`] : [];
  });
}

function changed(stage: Stage, before: string): string[] {
  const now = describeGuest({ stage }, foreignVmid);
  return now === before ? [] : [`the foreign guest ${foreignVmid} changed from\n${before}\nto\n${now}`];
}

/** A last life of the agent that nobody ends early. */
async function lookAtTheEnd(stage: Stage, wanted: readonly LabGuest[]): Promise<string[]> {
  stage.agent.start();
  try {
    await stage.until(
      'converged, with every guest that is wanted',
      async () => {
        const report = await stage.report();
        const running = new Set<string>(
          report?.guests.filter(({ status }) => status === 'running').map(({ name }) => name),
        );
        return report?.converged === true && wanted.every(({ name }) => running.has(name));
      },
      endMs,
    );
  } catch (error) {
    if (error instanceof NotReached) return [error.message];
    throw error;
  }
  const report = await stage.report();
  await stage.agent.kill('SIGTERM');
  const own = stage.pve.node.guests.ids().filter((vmid) => vmid !== foreignVmid);
  const running = report?.guests.filter(({ status }) => status === 'running').length ?? 0;
  const ended = stage.agent.lastEnd();
  return [
    ...twins(stage, wanted),
    ...leftovers(stage, ownRange(stage)),
    ...(report?.parked ?? []).map(({ id, why }) => `${id} is parked: ${why.text}`),
    ...(own.length === wanted.length ? [] : [`${wanted.length} guests are wanted and ${own.length} are there`]),
    ...(running === wanted.length ? [] : [`${wanted.length} guests are wanted and ${running} run`]),
    ...(ended?.code === 0 ? [] : [`the agent ended with ${ended?.code ?? ended?.signal} when it was asked to stop`]),
  ];
}
