/**
 * A backup is restored as a scratch guest that reaches nobody, started, looked at from outside, compared with what it
 * declared, and removed again, whatever came out. A backup that fails is a result and completes the saga; a host that
 * cannot test it unwinds, and nothing was tested.
 */
import { reason } from '@felhom/protocol';
import type { GuestName } from '@felhom/protocol';
import { auditConfig, clearRestored, markerOf, restoreFront, want } from '../bring-up/index.ts';
import type { RestorePlan } from '../bring-up/index.ts';
import { storageOf } from '../guests/index.ts';
import { powerOn, probePowerOn } from '../guests/power.ts';
import { formatDescription, formatNetPlaceholder } from '../guests/pve-config.ts';
import { patientAttempts } from '../guests/settle.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, Step } from '../kernel/saga.ts';
import { check, failure, isDevice } from './check-step.ts';
import { content } from './content-step.ts';
import { probeRecord, record } from './record-step.ts';
import { nameOf, restoreTestParams, withTiming } from './test-state.ts';
import type { RestoreTestNeeds, RestoreTestParams, RestoreTestState, TestContext, TestResult } from './test-state.ts';
import { stopScratch } from './stop-scratch.ts';
import { watch } from './watch-step.ts';

type TestStep = Step<RestoreTestParams, RestoreTestState, RestoreTestNeeds>;
type Answer = Outcome<Partial<RestoreTestState>>;

const [restoreStep] = restoreFront<RestoreTestParams, RestoreTestState, RestoreTestNeeds>({
  planOf: (ctx) => Promise.resolve(done(planOf(ctx))),
  onFailure: 'value',
});

/** One test at a time on a host. */
export const testLane = 'restore-test';

export const restoreTest: SagaDefinition<RestoreTestParams, RestoreTestState, RestoreTestNeeds> = {
  name: 'restore-test',
  version: 1,
  parseParams: (raw) => restoreTestParams.parse(raw),
  lanes: ({ storage, backup }) => [
    testLane,
    ...[...new Set([storage, storageOf(backup.archive)])].toSorted().map((id) => `storage:${id}`),
  ],
  purpose: 'protection',
  attemptCap: patientAttempts,
  steps: [
    { name: 'check', readOnly: true, run: check },
    untilResult(restoreStep),
    { name: 'audit', readOnly: true, run: audit },
    { name: 'register', run: register, probe: probeRegister, undo: forget },
    { name: 'start', run: start, probe: probeStart, undo: stop },
    { name: 'watch', readOnly: true, run: watch },
    // From here on there is a result, and it is recorded whatever the removal takes.
    { name: 'content', run: content, probe: content, pivot: 'at-outcome' },
    { name: 'teardown', run: teardown, probe: probeTeardown },
    { name: 'record', run: record, probe: probeRecord },
  ],
};

function planOf(ctx: TestContext): RestorePlan {
  const { params, needs } = ctx;
  const policy = needs.policy();
  const [bridge = ''] = policy.bridges;
  return {
    words: { goal: `test a restore of ${nameOf(params)}`, guest: `a test of ${nameOf(params)}`, source: 'backup' },
    archive: params.backup.archive,
    storage: params.storage,
    range: 'scratch',
    incarnation: 1,
    scenario: 'restore-test',
    pveVersion: want(ctx, 'pveVersion'),
    // Everything that isolates it is in the one call: no mount of the archive, no link, no start at boot.
    values: (marker) => ({
      hostname: 'restore-test',
      description: formatDescription(marker, `restore-test of ${params.guest.name}; removed by itself`),
      cores: String(policy.restoreTests.cores),
      memory: String(policy.restoreTests.memoryMiB),
      swap: '0',
      onboot: '0',
      protection: '0',
      rootfs: `${params.storage}:${want(ctx, 'rootfsGiB')}`,
      ...Object.fromEntries(want(ctx, 'archivedNetworks').map((key) => [key, formatNetPlaceholder(key, bridge)])),
    }),
  };
}

/** The restore, unless it is known already how the test ended; a failed one is how it ended. */
function untilResult(step: TestStep): TestStep {
  const ended = (ctx: TestContext): boolean => ctx.state.result !== undefined;
  const settled = <T extends Probed<Partial<RestoreTestState>>>(ctx: TestContext, answer: T): T | Answer => {
    if (answer.is !== 'done') return answer;
    const { restoreFailure } = answer.value;
    if (restoreFailure !== undefined) return done({ ...answer.value, result: resultOfFailure(restoreFailure) });
    return done({
      ...answer.value,
      timings: withTiming(ctx, { restoreMs: Math.max(0, ctx.clock.now() - ctx.intentAt) }),
    });
  };
  return {
    ...step,
    intend: async (ctx, signal) => (ended(ctx) || step.intend === undefined ? done({}) : step.intend(ctx, signal)),
    run: async (ctx, signal) => (ended(ctx) ? done({}) : settled(ctx, await step.run(ctx, signal))),
    probe: async (ctx, signal) =>
      ended(ctx) || step.probe === undefined ? done({}) : settled(ctx, await step.probe(ctx, signal)),
  };
}

/** Of the backup, or of the host: a full storage says nothing about an archive. */
function resultOfFailure(why: RestoreTestState['restoreFailure']): TestResult {
  const text = why.text;
  switch (why.code) {
    case 'guest.archive-corrupt':
    case 'guest.backup-absent':
      return failure('corrupt', why.code, text);
    case 'guest.archive-refused':
      return failure('refused', why.code, text);
    case 'pve.no-space':
      return { grade: 'failed', verdict: 'skipped', code: 'restore-test.no-room', text };
    case 'pve.forbidden':
    case 'pve.storage-offline':
    case 'pve.storage-absent':
      return { grade: 'failed', verdict: 'skipped', code: 'restore-test.not-now', text };
    default:
      return failure('failed', 'guest.restore-failed', text);
  }
}

/** The barrier of [R7], on what was really restored: an archive can show one config and restore another. */
async function audit(ctx: TestContext, signal: AbortSignal): Promise<Answer> {
  if (ctx.state.result !== undefined) return done({});
  const vmid = want(ctx, 'vmid');
  const read = await ctx.needs.reader.config(vmid, { current: true }, signal);
  if (read.is !== 'done') return read;
  if (read.value.is === 'absent')
    return refused(reason('pve.guest-absent', `cannot audit scratch guest ${vmid}: it is gone`));
  if (read.value.is === 'forbidden')
    return unknown(reason('pve.forbidden', `cannot audit scratch guest ${vmid}: the token may not read it`));
  const { violations } = auditConfig(read.value.config, { vmid, values: want(ctx, 'sent') });
  const surplus = ctx.state.devices === true ? violations.filter(({ key }) => !isDevice(key)) : violations;
  if (surplus.length > 0) {
    const text = `what was restored is not what was asked for, and was never started: ${surplus.map((each) => each.text).join('; ')}`;
    return done({ result: failure('refused', 'guest.archive-refused', text) });
  }
  if (ctx.state.devices !== true) return done({});
  return done({
    result: {
      grade: 'restored',
      verdict: 'unproven',
      code: 'restore-test.unproven',
      text: 'it has hardware of the host passed into it, so it was restored from its contents and not started',
    },
  });
}

const isThere = (ctx: TestContext): boolean => ctx.state.vmid !== undefined;

/** On record as scratch, so that whatever becomes of this saga there is proof of what may be removed. */
async function register(ctx: TestContext): Promise<Answer> {
  if (!isThere(ctx)) return done({});
  const vmid = want(ctx, 'vmid');
  ctx.needs.registry.put({
    ...markerOf(ctx),
    name: `scratch-${vmid}` as GuestName,
    vmid,
    golden: '',
    volumes: want(ctx, 'volumes'),
    servedAt: undefined,
    configDigest: '',
    createdAt: ctx.startedAt,
    scratch: true,
  });
  return done({});
}

async function probeRegister(ctx: TestContext): Promise<Probed<Partial<RestoreTestState>>> {
  if (!isThere(ctx) || ctx.needs.registry.byUid(markerOf(ctx).uid) !== undefined) return done({});
  return { is: 'never-happened' };
}

async function forget(ctx: TestContext): Promise<Outcome<void>> {
  if (ctx.state.uid !== undefined) ctx.needs.registry.remove(ctx.state.uid);
  return done(undefined);
}

const neverUp = new Set(['guest.did-not-start', 'guest.did-not-stay-up']);

/** That it does not come up is how the test ended. */
function started(ctx: TestContext, answer: Probed<void>): Probed<Partial<RestoreTestState>> {
  if (answer.is === 'refused' && neverUp.has(answer.why.code))
    return done({
      result: failure('restored', 'restore-test.not-booted', `${answer.why.text} ${answer.why.detail ?? ''}`.trim()),
    });
  return answer.is === 'done' ? done({ powerAt: ctx.intentAt, upAt: ctx.clock.now() }) : answer;
}

async function start(ctx: TestContext, signal: AbortSignal): Promise<Answer> {
  if (ctx.state.result !== undefined) return done({});
  const vmid = want(ctx, 'vmid');
  const first = await powerOn(ctx, vmid, signal);
  // A worker that was killed says nothing about the backup; a guest that cannot start cannot twice.
  const again = first.is === 'refused' && neverUp.has(first.why.code);
  const answer = started(ctx, again ? await powerOn(ctx, vmid, signal) : first);
  return answer.is === 'never-happened' ? done({}) : answer;
}

async function probeStart(ctx: TestContext, signal: AbortSignal): Promise<Probed<Partial<RestoreTestState>>> {
  if (ctx.state.result !== undefined) return done({});
  return started(ctx, await probePowerOn(ctx, want(ctx, 'vmid'), want(ctx, 'since'), signal));
}

async function stop(ctx: TestContext, signal: AbortSignal): Promise<Outcome<void>> {
  if (!isThere(ctx)) return done(undefined);
  return stopScratch(ctx, want(ctx, 'vmid'), markerOf(ctx), want(ctx, 'since'), signal);
}

/** Stopped, destroyed by provenance, its VMID back in the pool, off the record. Twice is the same as once. */
async function teardown(ctx: TestContext, signal: AbortSignal): Promise<Answer> {
  const stopped = await stop(ctx, signal);
  if (stopped.is !== 'done') return stopped;
  const cleared = await clearRestored(ctx, signal);
  if (cleared.is !== 'done') return cleared;
  await forget(ctx);
  return done({});
}

/** Looking again is how it goes on: every part looks before it touches, and a call in flight is waited for. */
async function probeTeardown(): Promise<Probed<Partial<RestoreTestState>>> {
  return { is: 'never-happened' };
}
