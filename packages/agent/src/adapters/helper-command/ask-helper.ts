/** One request, one answer, whatever carries them. The answer is parsed strictly; what it leaves open stays open. */
import { reason } from '@felhom/protocol';
import type { Reason } from '@felhom/protocol';
import type { Clock } from '../../kernel/clock.ts';
import { done, refused, unknown } from '../../kernel/saga.ts';
import type { Outcome } from '../../kernel/saga.ts';
import type { HostHelper } from '../../ports/host-helper.ts';
import type { RootChecks } from '../../ports/root-checks.ts';
import type { SignedHelper } from '../../ports/signed-helper.ts';
import type { StorageHelper } from '../../ports/storage-helper.ts';
import { helperAnswer } from './wire.ts';
import type { HelperAnswer, HelperFence, HelperRequest, HelperVerb } from './wire.ts';

/** What came of carrying a request. Whoever carries it knows only whether it can have been read. */
export type Carried =
  | { readonly is: 'answered'; readonly text: string }
  /** Nobody has read a byte of it. */
  | { readonly is: 'not-started'; readonly text: string }
  | { readonly is: 'died'; readonly text: string };

export interface HelperTransport {
  /** For people: which root helper this is. */
  readonly name: string;
  /** Never rejects. `stop`: nobody waits for the answer any more. */
  carry(request: string, stop: AbortSignal): Promise<Carried>;
}

export interface HelperTimes {
  readonly clock: Clock;
  /** Per verb, in milliseconds; a hanging storage makes listings slow. */
  readonly timeoutMs?: number;
  /** Of the journal that is open; `undefined` while none is. */
  readonly fence?: () => HelperFence | undefined;
}

/** Bytes of an answer. */
export const longestAnswerBytes = 1024 * 1024;

/** Verbs that read whole archives or volumes, milliseconds. */
const slowTimeoutMs = 6 * 3_600_000;

type DoneAnswer = Extract<HelperAnswer, { is: 'done' }>;

export function createHelper(
  transport: HelperTransport,
  { clock, timeoutMs = 120_000, fence }: HelperTimes,
): HostHelper & SignedHelper & StorageHelper & RootChecks {
  const ask = (request: HelperRequest, signal: AbortSignal, leastMs = 0): Promise<Outcome<DoneAnswer>> =>
    askHelper({ transport, clock, timeoutMs: Math.max(timeoutMs, leastMs) }, fenced(request, fence?.()), signal);
  const act = async (request: HelperRequest, signal: AbortSignal, leastMs = 0): Promise<Outcome<void>> => {
    const answer = await ask(request, signal, leastMs);
    return answer.is === 'done' ? done(undefined) : answer;
  };
  return {
    async volumesOf(vmid, signal) {
      const answer = await ask({ v: 1, verb: 'volumes-of', vmid }, signal);
      if (answer.is !== 'done') return answer;
      return answer.value.volumes === undefined ? missing('volumes-of', 'volumes') : done(answer.value.volumes);
    },
    reapStub: (operation, vmid, volumes, signal) =>
      act({ v: 1, verb: 'reap-stub', operation, vmid, volumes: [...volumes] }, signal),
    unlock: (operation, vmid, signal) => act({ v: 1, verb: 'unlock', operation, vmid }, signal),
    poolEnsure: (operation, vmid, signal) => act({ v: 1, verb: 'pool-ensure', operation, vmid }, signal),
    tunnelRestart: (operation, signal) => act({ v: 1, verb: 'tunnel-restart', operation }, signal),
    async archiveDigest(archive, signal) {
      const answer = await ask({ v: 1, verb: 'archive-digest', archive }, signal, slowTimeoutMs);
      if (answer.is !== 'done') return answer;
      return answer.value.archive === undefined ? missing('archive-digest', 'archive') : done(answer.value.archive);
    },
    async scratchRead(vmid, volumes, signal) {
      const asked = volumes.map(({ path, samples }) => ({ path, samples: [...samples] }));
      const answer = await ask({ v: 1, verb: 'scratch-read', vmid, volumes: asked }, signal, slowTimeoutMs);
      if (answer.is !== 'done') return answer;
      return answer.value.found === undefined ? missing('scratch-read', 'found') : done(answer.value.found);
    },
    async keyTest(archive, signal) {
      const answer = await ask({ v: 1, verb: 'key-test', archive }, signal);
      if (answer.is !== 'done') return answer;
      return answer.value.keyTest === undefined ? missing('key-test', 'keyTest') : done(answer.value.keyTest);
    },
    async guestMounts(vmid, signal) {
      const answer = await ask({ v: 1, verb: 'guest-mounts', vmid }, signal);
      if (answer.is !== 'done') return answer;
      const { guestMounts } = answer.value;
      return guestMounts === undefined ? missing('guest-mounts', 'guestMounts') : done(guestMounts);
    },
    trustUpdate: (operation, envelope, signal) => act({ v: 1, verb: 'trust-update', operation, envelope }, signal),
    breakGlassOpen: (operation, envelope, signal) =>
      act({ v: 1, verb: 'break-glass-open', operation, envelope }, signal),
    breakGlassClose: (operation, signal) => act({ v: 1, verb: 'break-glass-close', operation }, signal),
    async witness(epoch, count, signal) {
      const answer = await ask({ v: 1, verb: 'witness', epoch, count }, signal);
      if (answer.is !== 'done') return answer;
      const { witnessed } = answer.value;
      return witnessed === undefined ? missing('witness', 'witnessed') : done(witnessed);
    },
    async breakGlassShow(signal) {
      const answer = await ask({ v: 1, verb: 'break-glass-show' }, signal);
      if (answer.is !== 'done') return answer;
      const { openUntil } = answer.value;
      if (openUntil === undefined) return missing('break-glass-show', 'openUntil');
      return done(openUntil === null ? undefined : { until: openUntil });
    },
    mount: (operation, target, signal) => act({ v: 1, verb: 'mount', operation, target }, signal),
    unmount: (operation, target, signal) => act({ v: 1, verb: 'unmount', operation, target }, signal),
    storageDefine: (operation, target, signal) => act({ v: 1, verb: 'storage-define', operation, target }, signal),
    targetApply: (operation, envelope, signal) => act({ v: 1, verb: 'target-apply', operation, envelope }, signal),
    // It waits for the tunnel to come up, and where it does not for the earlier one.
    tunnelApply: (operation, envelope, signal) =>
      act({ v: 1, verb: 'tunnel-apply', operation, envelope }, signal, 300_000),
    credentialTest: (target, signal) => act({ v: 1, verb: 'credential-test', target }, signal),
    async tunnelFence(signal) {
      const answer = await ask({ v: 1, verb: 'tunnel-show' }, signal);
      if (answer.is !== 'done') return answer;
      const { tunnelFence } = answer.value;
      return tunnelFence === undefined ? missing('tunnel-show', 'tunnelFence') : done(tunnelFence);
    },
    async smart(device, signal) {
      const answer = await ask({ v: 1, verb: 'smart', device }, signal);
      if (answer.is !== 'done') return answer;
      return answer.value.smart === undefined ? missing('smart', 'smart') : done(answer.value.smart);
    },
    async show(operation, signal) {
      const answer = await ask({ v: 1, verb: 'show', operation }, signal);
      if (answer.is !== 'done') return answer;
      const { receipt } = answer.value;
      if (receipt === undefined) return missing('show', 'receipt');
      if (receipt !== null && receipt.operation !== operation)
        return unknown(unreadable('show', `the receipt is of operation ${receipt.operation}`));
      return done(receipt ?? undefined);
    },
  };
}

/** Stands in where no helper is configured: every verb is refused, so whatever needs one parks with the reason. */
export function noHelper(): HostHelper & SignedHelper & StorageHelper & RootChecks {
  const absent = async (verb: HelperVerb) =>
    refused(reason('helper.absent', `cannot ${verb}: there is no root helper`));
  return {
    volumesOf: () => absent('volumes-of'),
    reapStub: () => absent('reap-stub'),
    unlock: () => absent('unlock'),
    poolEnsure: () => absent('pool-ensure'),
    tunnelRestart: () => absent('tunnel-restart'),
    credentialTest: () => absent('credential-test'),
    tunnelFence: () => absent('tunnel-show'),
    archiveDigest: () => absent('archive-digest'),
    scratchRead: () => absent('scratch-read'),
    keyTest: () => absent('key-test'),
    guestMounts: () => absent('guest-mounts'),
    trustUpdate: () => absent('trust-update'),
    breakGlassOpen: () => absent('break-glass-open'),
    breakGlassClose: () => absent('break-glass-close'),
    breakGlassShow: () => absent('break-glass-show'),
    witness: () => absent('witness'),
    mount: () => absent('mount'),
    unmount: () => absent('unmount'),
    storageDefine: () => absent('storage-define'),
    targetApply: () => absent('target-apply'),
    tunnelApply: () => absent('tunnel-apply'),
    smart: () => absent('smart'),
    show: () => absent('show'),
  };
}

const fenced = (request: HelperRequest, fence: HelperFence | undefined): HelperRequest =>
  fence === undefined ? request : { ...request, fence };

interface Wait {
  readonly transport: HelperTransport;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

async function askHelper(wait: Wait, request: HelperRequest, signal: AbortSignal): Promise<Outcome<DoneAnswer>> {
  const { verb } = request;
  const came = await carryOnce(wait, JSON.stringify(request), signal);
  switch (came.is) {
    case 'not-started':
      return refused(
        reason('helper.cannot-run', `cannot ${verb}: the root helper ${wait.transport.name} ${came.text}`),
      );
    case 'died':
      return unknown(reason('helper.died', `cannot ${verb}: the root helper ${came.text}`));
    case 'timeout':
      return unknown(
        reason('helper.timeout', `cannot ${verb}: the root helper did not answer in ${wait.timeoutMs / 1000} s`),
      );
    case 'aborted':
      return unknown(reason('pve.aborted', `cannot ${verb}: the agent stopped waiting for the root helper`));
    case 'answered':
      return read(verb, came.text);
  }
}

function read(verb: HelperVerb, stdout: string): Outcome<DoneAnswer> {
  let document: unknown;
  try {
    document = JSON.parse(stdout);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return unknown(unreadable(verb, 'it is not JSON'));
  }
  const parsed = helperAnswer.safeParse(document);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return unknown(unreadable(verb, `${issue?.path.map(String).join('.') ?? ''} ${issue?.message ?? ''}`.trim()));
  }
  const answer = parsed.data;
  return answer.is === 'done' ? done(answer) : refused(refusalOf(verb, answer));
}

const refusals = { refused: 'helper.refused', busy: 'helper.busy', absent: 'helper.no-archive' } as const;

/** Why a verb was not carried out. Absence is a code of its own: of a helper that cannot look nothing is concluded. */
export const refusalOf = (verb: HelperVerb, answer: Exclude<HelperAnswer, DoneAnswer>): Reason =>
  reason(refusals[answer.is], `cannot ${verb}: ${answer.text}`);

const missing = (verb: HelperVerb, field: string) => unknown(unreadable(verb, `${field} is missing`));

const unreadable = (verb: HelperVerb, text: string): Reason =>
  reason('helper.unreadable-answer', `cannot ${verb}: the answer of the root helper cannot be read: ${text}`);

/**
 * Stops waiting when the time is over or the caller gives up. Root may go on after that: the verb is then of unknown
 * outcome, which its receipt settles.
 */
async function carryOnce(
  { transport, clock, timeoutMs }: Wait,
  request: string,
  signal: AbortSignal,
): Promise<Carried | { readonly is: 'timeout' } | { readonly is: 'aborted' }> {
  if (signal.aborted) return { is: 'aborted' };
  const stop = new AbortController();
  const onAbort = (): void => stop.abort();
  signal.addEventListener('abort', onAbort, { once: true });
  const ended = new AbortController();
  try {
    const came = await Promise.race([
      transport.carry(request, stop.signal),
      timePassed(clock, timeoutMs, ended.signal),
    ]);
    return came.is !== 'answered' && signal.aborted ? { is: 'aborted' } : came;
  } finally {
    signal.removeEventListener('abort', onAbort);
    ended.abort();
    stop.abort();
  }
}

async function timePassed(clock: Clock, ms: number, ended: AbortSignal): Promise<{ readonly is: 'timeout' }> {
  try {
    await clock.sleep(ms, ended);
  } catch (error) {
    if (!ended.aborted) throw error;
  }
  return { is: 'timeout' };
}
