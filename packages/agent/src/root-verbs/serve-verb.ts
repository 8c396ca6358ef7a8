/**
 * One request to root, from receipt to receipt. Who asks may have been taken over: what widens something comes as the
 * operators' envelope and is verified here, what only narrows is done for anybody [R13]. The host is the one that the
 * root-owned trust document is for.
 */
import type { HostId } from '@felhom/protocol';
import type { HelperOperation, HelperReceipt } from '../ports/host-helper.ts';
import type { SignatureVerifier } from '../ports/signatures.ts';
import type { TrustStore } from '../ports/trust-store.ts';
import { closeBreakGlass, openBreakGlass, showBreakGlass } from './break-glass.ts';
import type { BreakGlassPlace, OpenOptions } from './break-glass.ts';
import type { ConsumedJobs } from './consumed-jobs.ts';
import type { Receipts } from './receipts.ts';
import { applyTarget } from './target-apply.ts';
import { applyTunnel, restartTunnel } from './tunnel/index.ts';
import type { TunnelWorld } from './tunnel/index.ts';
import { trustUpdate } from './trust-update.ts';
import { serveStorage } from './storage/serve.ts';
import type { StorageRequest } from './storage/serve.ts';
import type { StorageWorld } from './storage/world.ts';
import type { WitnessCount } from './witness-count.ts';

interface Signed {
  readonly operation: HelperOperation;
  readonly envelope: string;
}

export type RootRequest =
  | ({ readonly verb: 'trust-update' } & Signed)
  | ({ readonly verb: 'break-glass-open' } & Signed)
  | ({ readonly verb: 'target-apply' } & Signed)
  | ({ readonly verb: 'tunnel-apply' } & Signed)
  | { readonly verb: 'break-glass-close'; readonly operation: HelperOperation }
  | { readonly verb: 'break-glass-show' }
  | StorageRequest
  | { readonly verb: 'tunnel-restart'; readonly operation: HelperOperation }
  | { readonly verb: 'witness'; readonly epoch: string; readonly count: number }
  | { readonly verb: 'show'; readonly operation: HelperOperation };

export type RootAnswer =
  | {
      readonly is: 'done';
      /** Of `show`; null = never completed. */
      readonly receipt?: HelperReceipt | null;
      /** Of `break-glass-show`, milliseconds since the epoch; null = closed. */
      readonly openUntil?: number | null;
      /** Of `witness`: the count before. */
      readonly witnessed?: number;
    }
  /** `refused`: nothing was changed. `busy`: that, or it is not known to be closed; ask again. */
  | { readonly is: 'refused' | 'busy'; readonly text: string };

export interface RootParts {
  readonly trustFile: string;
  /** Reads the same file, and refuses it where others may write it. */
  readonly trust: TrustStore;
  readonly verifier: SignatureVerifier;
  readonly place: BreakGlassPlace;
  /** From root-owned files, as they are now; only asked for when something is to be opened. */
  readonly breakGlass: () => Pick<OpenOptions, 'settings' | 'maxMinutes'> | { readonly bad: string };
  readonly consumed: ConsumedJobs;
  readonly receipts: Receipts;
  readonly witness: WitnessCount;
  /** Absent where there is none: on the stage of the lab. */
  readonly tunnel?: TunnelWorld;
  /** Where the restarts of the tunnel are counted. */
  readonly tunnelRestarts: string;
  /** Absent where there are no disks: on the stage of the lab. */
  readonly storage?: StorageWorld;
  /** Wall time, milliseconds since the epoch. */
  readonly now: () => number;
}

/** One at a time; the caller sees to that. Throws what leaves open whether something was changed: answer nothing then. */
export async function serveVerb(request: RootRequest, parts: RootParts, signal: AbortSignal): Promise<RootAnswer> {
  const { place, receipts } = parts;
  switch (request.verb) {
    case 'trust-update':
      return once(request, parts, (host) =>
        trustUpdate({ ...parts, file: parts.trustFile, host, now: parts.now() }, request.envelope, signal),
      );
    case 'break-glass-open':
      return once(request, parts, (host) => {
        const found = parts.breakGlass();
        if ('bad' in found) return Promise.resolve(refused(`cannot open break-glass: ${found.bad}`));
        return openBreakGlass({ ...place, ...parts, ...found, host, now: parts.now() }, request.envelope, signal);
      });
    case 'break-glass-close': {
      // Whatever was written down about an earlier closing: it may have been opened since.
      const closed = await closeBreakGlass(place);
      if (closed.is === 'done') receipts.keep({ operation: request.operation, verb: request.verb, at: parts.now() });
      return closed;
    }
    case 'break-glass-show': {
      const shown = await showBreakGlass(place);
      if (shown.is === 'unclear') return { is: 'busy', text: `cannot look at break-glass: ${shown.text}` };
      return { is: 'done', openUntil: shown.is === 'open' ? shown.until : null };
    }
    case 'target-apply': {
      const { storage } = parts;
      if (storage === undefined) return refused('cannot change targets: this host has no storage of its own');
      return once(request, parts, (host) => applyTarget({ ...parts, storage, host }, request.envelope, signal));
    }
    case 'mount':
    case 'unmount':
    case 'storage-define':
      if (parts.storage === undefined) return refused(`cannot ${request.verb}: this host has no storage of its own`);
      return serveStorage(request, { ...parts, storage: parts.storage });
    case 'tunnel-apply': {
      const { tunnel } = parts;
      if (tunnel === undefined) return refused('cannot change the tunnel: this host has none');
      return once(request, parts, (host) => applyTunnel({ ...parts, tunnel, host }, request.envelope, signal));
    }
    case 'tunnel-restart':
      return onceReceipted(request, parts, () =>
        restartTunnel({ systemctl: place.systemctl, record: parts.tunnelRestarts, now: parts.now() }),
      );
    case 'witness':
      return { is: 'done', witnessed: parts.witness.raise(request.epoch, request.count) };
    case 'show':
      return { is: 'done', receipt: receipts.of(request.operation) ?? null };
  }
}

/** What is signed, with the host that the trust document is for. */
const once = (
  request: Extract<RootRequest, Signed>,
  parts: RootParts,
  work: (host: HostId) => Promise<RootAnswer>,
): Promise<RootAnswer> =>
  onceReceipted(request, parts, async () => {
    const held = parts.trust.read();
    if (held.is === 'none')
      return refused(`cannot ${request.verb}: this host trusts nobody yet; see felhom-agent trust init`);
    if (held.is === 'unreadable') return { is: 'busy', text: held.why.text };
    return work(held.document.host);
  });

/** The same operation twice does the work once. */
async function onceReceipted(
  { verb, operation }: { readonly verb: string; readonly operation: HelperOperation },
  { receipts, now }: RootParts,
  work: () => Promise<RootAnswer>,
): Promise<RootAnswer> {
  const before = receipts.of(operation);
  if (before?.verb === verb) return { is: 'done' };
  if (before !== undefined) return refused(`cannot ${verb}: operation ${operation} was a ${before.verb}`);
  const answer = await work();
  if (answer.is !== 'done') return answer;
  receipts.keep({ operation, verb, at: now() });
  return { is: 'done' };
}

const refused = (text: string): RootAnswer => ({ is: 'refused', text });
