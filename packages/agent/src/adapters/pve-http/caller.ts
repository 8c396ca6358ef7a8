/**
 * One call to Proxmox: time limit, breaker, cap on the expensive ones, and the single place where anything is retried.
 * A GET that broke on a connection is asked again, because kept-alive connections die at any moment. A write never is.
 */
import { reason } from '@felhom/protocol';
import type { Clock } from '../../kernel/clock.ts';
import { refused, unknown } from '../../kernel/saga.ts';
import type { Outcome } from '../../kernel/saga.ts';
import { admitCall, closedCircuit, settleCall } from './circuit.ts';
import { classify } from './classify.ts';
import type { Classified } from './classify.ts';
import { encodeForm, encodePath } from './encode.ts';
import type { Params } from './encode.ts';
import { createLimit } from './limit.ts';
import type { WriteKind } from './texts.ts';
import type { RawAnswer, RawRequest, Transport } from './transport.ts';

export interface PveCall {
  /** "restore CT 9001", for "cannot restore CT 9001: …". */
  readonly what: string;
  readonly path: readonly (string | number)[];
  readonly params?: Params;
  readonly timeoutMs?: number;
}

export interface ReadCall extends PveCall {
  /** Calls that make the node touch its storages or block on a guest; few at once [at most two]. */
  readonly expensive?: boolean;
}

export interface WriteCall extends PveCall {
  readonly method: 'POST' | 'PUT' | 'DELETE';
  readonly kind: WriteKind;
}

export interface Answer {
  readonly data: unknown;
  /** Length of the whole list, where Proxmox says so. */
  readonly total: number | undefined;
}

export interface Caller {
  read(call: ReadCall, signal: AbortSignal): Promise<Outcome<Answer>>;
  write(call: WriteCall, signal: AbortSignal): Promise<Outcome<Answer>>;
}

export interface CallLimits {
  readonly readMs: number;
  /** Synchronous writes: above the 30 s after which pveproxy itself gives up. */
  readonly writeMs: number;
  /** Storage lists may wait for a dead NFS server. */
  readonly expensiveMs: number;
}

export const defaultLimits: CallLimits = { readMs: 10_000, writeMs: 35_000, expensiveMs: 35_000 };

const readAttempts = 3;

/** `authorization` is the whole header value. */
export function createCaller(needs: {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly authorization: string;
  readonly limits: CallLimits;
}): Caller {
  const { transport, clock, authorization, limits } = needs;
  const few = createLimit(2);
  const secret = authorization.slice(authorization.lastIndexOf('=') + 1);
  /** Something in between that shows the request in its answer must not get the token into reports and logs. */
  const withoutSecret = (raw: RawAnswer): RawAnswer =>
    raw.is === 'failed'
      ? raw
      : {
          is: 'answered',
          answer: {
            ...raw.answer,
            reason: raw.answer.reason.replaceAll(secret, '…'),
            body: raw.answer.body.replaceAll(secret, '…'),
          },
        };
  let circuit = closedCircuit;

  const once = async (
    call: PveCall,
    kind: 'read' | WriteKind,
    request: RawRequest,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<{ classified: Classified; lost: boolean }> => {
    const admitted = admitCall(circuit, clock.monotonicMs());
    circuit = admitted.circuit;
    if (!admitted.may)
      return {
        classified: refused(
          reason(
            'pve.circuit-open',
            `cannot ${call.what}: Proxmox refused the token, and calls are held back until it is mended`,
          ),
        ),
        lost: false,
      };
    const raw = await withinTime(transport, request, timeoutMs, clock, signal);
    const verdict = raw.is === 'failed' ? 'silent' : raw.answer.status === 401 ? 'unauthorized' : ('accepted' as const);
    circuit = settleCall(circuit, verdict, clock.monotonicMs());
    return {
      classified: classify({ what: call.what, kind }, withoutSecret(raw)),
      lost: raw.is === 'failed' && raw.failure.is === 'lost',
    };
  };

  return {
    async read(call, signal) {
      const query = encodeForm(call.params ?? {});
      const request: RawRequest = {
        method: 'GET',
        path: encodePath(call.path) + (query === '' ? '' : `?${query}`),
        body: undefined,
        headers: { authorization },
      };
      const timeoutMs = call.timeoutMs ?? (call.expensive === true ? limits.expensiveMs : limits.readMs);
      const ask = async (): Promise<Outcome<Answer>> => {
        for (let attempt = 1; ; attempt += 1) {
          const { classified, lost } = await once(call, 'read', request, timeoutMs, signal);
          if (!lost || attempt === readAttempts) return toOutcome(classified);
        }
      };
      try {
        return await (call.expensive === true ? few.run(ask, signal) : ask());
      } catch (error) {
        if (signal.aborted) return aborted(call);
        throw error;
      }
    },
    async write(call, signal) {
      const form = encodeForm(call.params ?? {});
      const inQuery = call.method === 'DELETE';
      const request: RawRequest = {
        method: call.method,
        path: encodePath(call.path) + (inQuery && form !== '' ? `?${form}` : ''),
        body: inQuery ? undefined : form,
        headers: inQuery ? { authorization } : { authorization, 'content-type': 'application/x-www-form-urlencoded' },
      };
      const { classified } = await once(call, call.kind, request, call.timeoutMs ?? limits.writeMs, signal);
      return toOutcome(classified);
    },
  };
}

function toOutcome(classified: Classified): Outcome<Answer> {
  if (classified.is === 'ok') return { is: 'done', value: { data: classified.data, total: classified.total } };
  return classified.is === 'refused' ? refused(classified.why) : unknown(classified.why);
}

const aborted = (call: PveCall) => unknown(reason('pve.aborted', `cannot ${call.what}: the agent stopped waiting`));

/** Time by the injected clock, so that a simulation can let a call hang. */
async function withinTime(
  transport: Transport,
  request: RawRequest,
  timeoutMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<RawAnswer> {
  if (signal.aborted) return { is: 'failed', failure: { is: 'aborted' } };
  const stop = new AbortController();
  const settled = new AbortController();
  const onAbort = (): void => stop.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([
      transport.send(request, stop.signal),
      limitPassed(clock, timeoutMs, settled.signal),
      abortedBy(stop.signal, settled.signal),
    ]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    settled.abort();
    // Lets go of the connection when the time was over; after an answer this does nothing.
    stop.abort(new Error('settled'));
  }
}

/** Resolves when the time is over; what it resolves to after the call settled is read by nobody. */
async function limitPassed(clock: Clock, timeoutMs: number, settled: AbortSignal): Promise<RawAnswer> {
  try {
    await clock.sleep(timeoutMs, settled);
  } catch (error) {
    if (!settled.aborted) throw error;
  }
  return { is: 'failed', failure: { is: 'timeout', afterMs: timeoutMs } };
}

/** A transport that does not look at its signal must not keep an aborted caller waiting. */
function abortedBy(stop: AbortSignal, settled: AbortSignal): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const onAbort = (): void => resolve({ is: 'failed', failure: { is: 'aborted' } });
    stop.addEventListener('abort', onAbort, { once: true });
    settled.addEventListener('abort', () => stop.removeEventListener('abort', onAbort), { once: true });
  });
}
