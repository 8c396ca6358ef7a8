/**
 * The step that gives a guest its claim before a start: in bring-up, recovery and restores before the first one, and in
 * `issue-claim.saga` before a restart. The secret is made in `run` and goes nowhere but into the guest's config; neither
 * intent nor outcome knows it, so after a crash another one is made and the earlier one is dead.
 */
import { formatClaim, reason } from '@felhom/protocol';
import type { Claim } from '@felhom/protocol';
import type { GuestRef } from '../authority/effects.ts';
import { noteTime } from '../guests/grow-volume.saga.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import { bringDown } from '../guests/power.ts';
import { readOwn, whenIdle } from '../guests/settle.ts';
import { done, unknown } from '../kernel/saga.ts';
import type { Outcome, Step, StepContext } from '../kernel/saga.ts';
import type { Claims } from './claims.ts';
import { readEnv, withClaim, writeEnv } from './env-line.ts';
import type { EnvPlace } from './env-line.ts';

export interface ClaimIssuing {
  readonly claims: Pick<Claims, 'mint' | 'forget' | 'lookedAtEnv'>;
  /** Whether this release of Proxmox VE takes `env` (bring-up's `supportsEnv`). */
  readonly supportsEnv: (pveVersion: string) => boolean;
  /** Where a guest finds its host; `undefined`: nowhere, and no claim is made. */
  readonly contact: () => Omit<Claim, 'secret'> | undefined;
}

export interface ClaimNeeds extends GuestNeeds {
  readonly issuing: ClaimIssuing;
}

export interface ClaimPlace extends EnvPlace {
  readonly name: GuestRef['name'];
  /** `obeyed`: it has been started before, and did then what it was told about its identity. `as-told` unless given. */
  readonly identity?: 'as-told' | 'obeyed';
}

export interface ClaimState {
  /** How the claim reaches the guest; `none`: it gets none. */
  readonly claim: 'env' | 'port' | 'none';
  /** Of the config afterwards, where it was written. */
  readonly claimDigest: string;
  /** The node's clock in seconds before the first call. */
  readonly claimSince: number;
}

/**
 * `placeOf`: `undefined` for a guest that is not to have a claim, or is not started. The guest stands still by then, and
 * is started afterwards; one that its node started meanwhile, at a boot, is brought down once more.
 */
export function claimStep<Params, State extends ClaimState, Needs extends ClaimNeeds>(
  placeOf: (ctx: StepContext<Params, State, Needs>) => ClaimPlace | undefined,
): Step<Params, State, Needs> {
  return {
    name: 'claim',
    // The state of every saga that has this step holds these fields; of a type parameter the compiler cannot see it.
    intend: async (ctx, signal) => {
      if (placeOf(ctx) === undefined) return done({});
      const noted = await noteTime(ctx, signal);
      return noted.is === 'done' ? done({ claimSince: noted.value.since } as Partial<State>) : noted;
    },
    run: async (ctx, signal) => {
      const issued = await issue(ctx, placeOf(ctx), signal);
      return issued.is === 'done' ? done(issued.value as Partial<State>) : issued;
    },
    // What may have been written is a secret that nobody knows any more.
    probe: async () => ({ is: 'never-happened' }),
    undo: async (ctx) => {
      const uid = placeOf(ctx)?.marker.uid;
      if (uid !== undefined && ctx.needs.registry.byUid(uid) === undefined) ctx.needs.issuing.claims.forget(uid);
      return done(undefined);
    },
  };
}

async function issue(
  ctx: StepContext<unknown, Partial<ClaimState>, ClaimNeeds>,
  place: ClaimPlace | undefined,
  signal: AbortSignal,
): Promise<Outcome<Partial<ClaimState>>> {
  const { issuing, node } = ctx.needs;
  const contact = issuing.contact();
  if (place === undefined || contact === undefined) return done({ claim: 'none' });
  const guest: GuestRef = { uid: place.marker.uid, incarnation: place.marker.incarnation, name: place.name };
  const version = await node.version(signal);
  if (version.is !== 'done') return version;
  if (issuing.supportsEnv(version.value.version)) {
    const still = await standStill(ctx, place, signal);
    if (still.is !== 'done') return still;
    const text = formatClaim({ ...contact, secret: issuing.claims.mint(guest, { inEnv: true }) });
    const written = await writeEnv(ctx, place, (env) => withClaim(env, text, place.identity ?? 'as-told'), signal);
    if (written.is === 'done') {
      const inForce = await reads(ctx, place, text, signal);
      return inForce.is === 'done' ? done({ claim: 'env', ...digestOf(written.value) }) : inForce;
    }
    // A pve-container that is older than its release: the port does as well.
    if (written.is === 'unknown' || !doesNotKnowEnv.has(written.why.code)) return written;
  }
  issuing.claims.mint(guest, { inEnv: false });
  return done({ claim: 'port' });
}

/** What is written to a guest that runs is pending until its next start, and nobody would start it. */
async function standStill(
  ctx: StepContext<unknown, Partial<ClaimState>, ClaimNeeds>,
  { vmid, marker }: ClaimPlace,
  signal: AbortSignal,
): Promise<Outcome<void>> {
  const own = await readOwn(ctx, vmid, marker, signal);
  if (own.is !== 'done') return own;
  // Of an earlier try, perhaps of a process that is gone.
  for (const type of ['vzshutdown', 'vzstop']) {
    const idle = await whenIdle(ctx, { vmid, type, sinceSeconds: ctx.state.claimSince ?? 0 }, signal);
    if (idle.is !== 'done') return idle;
  }
  return bringDown(ctx, vmid, signal);
}

/** Its node can have started it between our look and our write. Then it is not known to read this claim: once more. */
async function reads(
  ctx: StepContext<unknown, object, ClaimNeeds>,
  place: ClaimPlace,
  claim: string,
  signal: AbortSignal,
): Promise<Outcome<void>> {
  const now = await readEnv(ctx, place, { current: true }, signal);
  if (now.is !== 'done') return unknown(now.why);
  if (now.value.env?.includes(claim) === true) return done(undefined);
  return unknown(
    reason('guest.unsettled', `cannot tell whether guest ${place.vmid} reads its claim: it was started meanwhile`),
  );
}

const doesNotKnowEnv: ReadonlySet<string> = new Set(['pve.unknown-parameter', 'pve.invalid-parameter']);

const digestOf = ({ digest }: { readonly digest: string | undefined }) =>
  digest === undefined ? {} : { claimDigest: digest };
