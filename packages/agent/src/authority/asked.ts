/**
 * What an effect asks for, as the gate judges it: of whom, which target values, what would be lost, in which words.
 * One switch over all effects, so that a new one cannot be asked for before it says what it loses.
 */
import { canonicalDigest, canonicalJson, maxLossSet } from '@felhom/protocol';
import type { BlockedActionParts, CanonicalValue, GuestName, VolumeId } from '@felhom/protocol';
import { askedByJob, everyVolumeOf } from './asked-by-job.ts';
import { askedOfProtection } from './asked-of-protection.ts';
import type { BuiltEffect, GuestEffect, GuestRef } from './effects.ts';
import type { GuestFacts } from './facts.ts';
import { isJobEffect, isProtectionEffect } from './gate-table.ts';

export interface Asked {
  /** The guest by its name for people; `undefined` for what is about the host. */
  readonly name: GuestName | undefined;
  /** `undefined`: the guest is to be made or adopted, or it is about the host. */
  readonly guest: GuestRef | undefined;
  readonly subject: BlockedActionParts['subject'];
  readonly verb: string;
  readonly parameters: BlockedActionParts['parameters'];
  readonly loss: readonly string[];
  /** "remove guest photos and its volumes", for people. */
  readonly words: string;
  /** Why the effect contradicts itself or what is known; such an effect is refused whatever the evidence. */
  readonly contradiction: string | undefined;
}

export function askedFor(effect: BuiltEffect, facts: GuestFacts | undefined): Asked {
  const asked = isJobEffect(effect)
    ? askedByJob(effect, facts)
    : isProtectionEffect(effect)
      ? askedOfProtection(effect)
      : askedOfGuest(effect, facts);
  const losable = asked.loss.length <= maxLossSet && !asked.loss.includes('');
  return losable ? asked : { ...asked, contradiction: asked.contradiction ?? 'what it loses cannot be listed' };
}

function askedOfGuest(effect: GuestEffect, facts: GuestFacts | undefined): Asked {
  if (effect.kind === 'guest-provision') {
    const { label, ...spec } = effect.desired;
    return {
      name: effect.desired.name,
      guest: undefined,
      subject: { is: 'new-guest', name: effect.desired.name },
      verb: effect.kind,
      // Free text decides nothing, so a new label is not a new action.
      parameters: { golden: effect.desired.golden, spec: canonicalDigest(plain(spec)) },
      loss: [],
      words: `make guest ${effect.desired.name}${label === '' ? '' : ` (${label.slice(0, 60)})`}`,
      contradiction: undefined,
    };
  }
  const { uid, incarnation, name } = effect.guest;
  const subject = { is: 'guest', uid, incarnation } as const;
  return { name, guest: effect.guest, subject, verb: effect.kind, ...change(effect, facts) };
}

type Change = Pick<Asked, 'parameters' | 'loss' | 'words' | 'contradiction'>;

function change(effect: Exclude<GuestEffect, { kind: 'guest-provision' }>, facts: GuestFacts | undefined): Change {
  const guest = effect.guest.name;
  const plainly = (words: string, parameters: Asked['parameters'] = {}): Change => ({
    parameters,
    loss: [],
    words: `${words} guest ${guest}`,
    contradiction: undefined,
  });
  switch (effect.kind) {
    case 'guest-remove':
      return {
        ...plainly('remove'),
        loss: everyVolumeOf(effect.volumes, facts),
        words: `remove guest ${guest} and all its volumes`,
      };
    case 'guest-start':
      return plainly('start');
    case 'guest-stop':
      return plainly('stop');
    case 'guest-onboot-on':
      return plainly('start at boot');
    case 'guest-onboot-off':
      return plainly('no longer start at boot');
    case 'marker-repair':
      return plainly('write the marker of');
    case 'cpu-up':
    case 'memory-up':
    case 'swap-up':
    case 'cpu-down':
    case 'memory-down':
    case 'swap-down':
      return {
        parameters: { to: effect.to },
        loss: [],
        words: `${effect.kind.replace('-', ' ')} to ${effect.to}${effect.kind.startsWith('cpu') ? '' : ' MiB'} for guest ${guest}`,
        contradiction: direction(effect.kind.endsWith('-up'), effect.from, effect.to),
      };
    case 'volume-grow':
    case 'volume-shrink':
      return {
        parameters: { volume: effect.volume, to: effect.to },
        loss: [effect.volid],
        words: `${effect.kind === 'volume-grow' ? 'grow' : 'shrink'} volume ${effect.volume} of guest ${guest} to ${effect.to} GiB`,
        contradiction:
          direction(effect.kind === 'volume-grow', effect.from, effect.to) ??
          otherVolume(effect.volume, effect.volid, facts),
      };
    case 'volume-remove':
    case 'volume-move':
      return {
        parameters: { volume: effect.volume, to: effect.to ?? null },
        loss: [effect.volid],
        words:
          effect.kind === 'volume-remove'
            ? `remove volume ${effect.volume} of guest ${guest}`
            : `move volume ${effect.volume} of guest ${guest} to ${effect.to ?? '?'}`,
        contradiction: otherVolume(effect.volume, effect.volid, facts),
      };
    case 'volume-add':
      return {
        ...plainly(`add volume ${effect.volume.name} at ${effect.volume.path} to`, {
          volume: effect.volume.name,
          spec: canonicalJson(plain(effect.volume)),
        }),
        contradiction: volumeIdOf(effect.volume.name, facts) === undefined ? undefined : 'it has a volume of that name',
      };
    case 'mount-change':
      return {
        parameters: { volume: effect.volume, to: effect.to },
        loss: [given(`mount of ${effect.volume}`, effect.from)],
        words: `mount volume ${effect.volume} of guest ${guest} at ${effect.to} instead of ${effect.from}`,
        contradiction: undefined,
      };
    case 'backup-flag-on':
    case 'backup-flag-off':
      return {
        parameters: { volume: effect.volume },
        loss: [volumeIdOf(effect.volume, facts) ?? given('volume', effect.volume)],
        words: `${effect.kind === 'backup-flag-on' ? 'back up' : 'no longer back up'} volume ${effect.volume} of guest ${guest}`,
        contradiction: undefined,
      };
    case 'network-change':
      return {
        parameters: { network: effect.network, to: effect.to === null ? null : canonicalJson(plain(effect.to)) },
        loss: [given(effect.network, effect.from)],
        words: `${effect.to === null ? 'remove' : 'change'} network ${effect.network} of guest ${guest}${
          effect.to === null ? '' : ` to bridge ${effect.to.bridge}`
        }, now ${effect.from}`,
        contradiction: undefined,
      };
    case 'nameserver-change':
    case 'hostname-change':
    case 'startup-change':
    case 'timezone-change': {
      const what = effect.kind.replace('-change', '');
      return {
        parameters: { to: effect.to },
        loss: [given(what, effect.from)],
        words: `change the ${what} of guest ${guest} from ${effect.from === '' ? 'none' : effect.from} to ${
          effect.to === '' ? 'none' : effect.to
        }`,
        contradiction: undefined,
      };
    }
    case 'label-change':
      return plainly('show other tags or label for', { tags: effect.tags });
  }
}

function direction(up: boolean, from: number, to: number): string | undefined {
  if (!Number.isSafeInteger(to) || to < 0) return `${to} is not a whole number`;
  // Whoever calls a shrink a growth would get it unsigned.
  if (up ? to > from : to < from) return undefined;
  return `from ${from} to ${to} is not ${up ? 'more' : 'less'}`;
}

function otherVolume(name: string, volid: VolumeId, facts: GuestFacts | undefined): string | undefined {
  const known = volumeIdOf(name, facts);
  return known === volid ? undefined : `volume ${name} is ${known ?? 'not known'} in the journal, not ${volid}`;
}

function volumeIdOf(name: string, facts: GuestFacts | undefined): VolumeId | undefined {
  return facts?.record.volumes.find((volume) => volume.name === name)?.volid;
}

/** What is given up, by name and present value. */
function given(what: string, value: string): string {
  return `${what} = ${value}`;
}

/** Parsed values carry `undefined` for absent options; absent is how canonical JSON writes that. */
function plain(value: object): CanonicalValue {
  return JSON.parse(JSON.stringify(value)) as CanonicalValue;
}
