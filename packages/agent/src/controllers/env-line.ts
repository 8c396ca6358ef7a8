/**
 * The `env` of a guest's config: NUL-separated `KEY=VALUE`, in force from the next start on. It may hold a secret, so it
 * is in no view of a config, in no journal and in no error: whoever needs it reads it here, and forgets it.
 */
import { reason } from '@felhom/protocol';
import type { Reason, Vmid } from '@felhom/protocol';
import { markerLine } from '../authority/guest-record.ts';
import type { Acting } from '../guests/needs.ts';
import { viewOf } from '../guests/pve-config.ts';
import { afterCall, patiently } from '../guests/settle.ts';
import type { Marker } from '../guests/settle.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';

export interface EnvPlace {
  readonly vmid: Vmid;
  readonly marker: Marker;
}

const claimKey = 'FELHOM_CLAIM';
const identityKey = 'FELHOM_IDENTITY';

/**
 * The same environment with this claim; what else stands there stays. `identity: 'obeyed'`: it was told before what to do
 * about its identity, and another claim beside a `fresh` would make it do it again: new host keys for a guest that serves.
 */
export function withClaim(env: string | undefined, claim: string, identity: 'as-told' | 'obeyed'): string {
  const kept = identity === 'obeyed' ? withoutDirective(env) : entriesOf(env);
  const told = kept.some((entry) => entry.startsWith(`${identityKey}=`)) ? kept : [`${identityKey}=none`, ...kept];
  return [...told, `${claimKey}=${claim}`].join('\0');
}

/** A claim that is gone is another claim, too. Where there was none nothing changes. */
export function withoutClaim(env: string | undefined): string | undefined {
  return holdsClaim(env) ? [`${identityKey}=none`, ...withoutDirective(env)].join('\0') : env;
}

const withoutDirective = (env: string | undefined): readonly string[] =>
  entriesOf(env).filter((entry) => !entry.startsWith(`${identityKey}=`));

const entriesOf = (env: string | undefined): readonly string[] =>
  (env ?? '').split('\0').filter((entry) => entry !== '' && !entry.startsWith(`${claimKey}=`));

export const holdsClaim = (env: string | undefined): boolean =>
  (env ?? '').split('\0').some((entry) => entry.startsWith(`${claimKey}=`));

/** `current: true`: as the guest was started with, without what is pending. */
export async function readEnv(
  ctx: Pick<Acting, 'needs'>,
  place: EnvPlace,
  options: { readonly current: boolean },
  signal: AbortSignal,
): Promise<Outcome<{ readonly env: string | undefined; readonly digest: string }>> {
  const { vmid, marker } = place;
  const read = await ctx.needs.reader.config(vmid, options, signal);
  if (read.is !== 'done') return read;
  if (read.value.is === 'absent')
    return refused(reason('pve.guest-absent', `cannot read the environment of guest ${vmid}: it does not exist`));
  if (read.value.is === 'forbidden')
    return refused(reason('pve.forbidden', `cannot read the environment of guest ${vmid}: the token may not`));
  const { config } = read.value;
  const seen = viewOf(config).marker;
  if (seen === undefined || markerLine(seen) !== markerLine(marker))
    return refused(
      reason('guest.not-ours', `cannot work on guest ${vmid}: it does not carry the marker of ${marker.uid}`),
    );
  return done({ env: config.values['env'], digest: config.digest });
}

const tries = 3;

/**
 * Digest-guarded with read-back, as every write of a config. Answers with the digest of the config afterwards; none where
 * nothing had to be written: what a person changed besides must keep showing.
 */
export function writeEnv(
  ctx: Acting,
  place: EnvPlace,
  change: (env: string | undefined) => string | undefined,
  signal: AbortSignal,
): Promise<Outcome<{ readonly digest: string | undefined }>> {
  let written = false;
  return patiently(ctx, 'environment', signal, async () => {
    for (let round = 1; ; round++) {
      const seen = await readEnv(ctx, place, { current: false }, signal);
      if (seen.is !== 'done') return written ? afterCall(seen) : seen;
      const { env, digest } = seen.value;
      const wanted = change(env);
      if (wanted === env) return done({ digest: written ? digest : undefined });
      if (round > tries)
        return refused(
          reason(
            'guest.change-failed',
            `cannot change the environment of guest ${place.vmid}: it does not stay changed`,
          ),
        );
      const put = await ctx.needs.writer.configure(
        place.vmid,
        wanted === undefined ? { delete: ['env'], digest } : { set: { env: wanted }, digest },
        signal,
      );
      if (put.is === 'unknown') return unknown(redacted(put.why, wanted));
      if (put.is === 'done') written = true;
      else {
        const now = await readEnv(ctx, place, { current: false }, signal);
        if (now.is !== 'done') return written ? afterCall(now) : now;
        if (now.value.digest === digest) return refused(redacted(put.why, wanted));
      }
    }
  });
}

/** Proxmox, or what stands before it, may repeat a value that it does not like. */
function redacted(why: Reason, env: string | undefined): Reason {
  const told = `${why.text}${why.detail ?? ''}`;
  const leaks = (env ?? '')
    .split('\0')
    .some((entry) => entry !== '' && told.includes(entry.slice(entry.indexOf('=') + 1)));
  if (!leaks) return why;
  const { detail: _, ...rest } = why;
  return { ...rest, text: `cannot change the environment of a guest: ${why.code}` };
}
