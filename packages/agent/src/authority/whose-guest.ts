/** Whether what an effect is about is the guest that it names, or the stranger that was signed for. */
import type { Asked } from './asked.ts';
import type { Objection } from './decision.ts';
import type { BuiltEffect } from './effects.ts';
import type { GateFacts, GuestFacts, StrangerFacts } from './facts.ts';
import type { GateRow } from './gate-row.ts';

export function whoseGuest(
  effect: BuiltEffect,
  asked: Asked,
  row: GateRow,
  facts: Pick<GateFacts, 'guest' | 'stranger'>,
): Objection | undefined {
  const objection =
    asked.guest === undefined ? nameInUse(asked, facts.guest) : notTheGuest(effect, asked, row, facts.guest);
  if (objection !== undefined) return objection;
  if (effect.kind === 'guest-adopt') return notTheStranger(effect, facts.stranger, undefined);
  if (effect.kind === 'guest-re-register') return notTheStranger(effect, facts.stranger, facts.guest);
  return undefined;
}

function nameInUse(asked: Asked, known: GuestFacts | undefined): Objection | undefined {
  if (known === undefined || asked.subject.is !== 'new-guest') return undefined;
  return {
    code: 'gate.name-in-use',
    text: `guest ${asked.subject.name} exists and is never replaced unsigned`,
  };
}

function notTheGuest(
  effect: BuiltEffect,
  asked: Asked,
  row: GateRow,
  known: GuestFacts | undefined,
): Objection | undefined {
  const { guest } = asked;
  if (guest === undefined) return undefined;
  if (known === undefined) return { code: 'gate.unknown-guest', text: `no guest ${guest.uid} is on record` };
  const { record, identity } = known;
  if (record.uid !== guest.uid || record.incarnation !== guest.incarnation || record.name !== guest.name)
    return {
      code: 'gate.unknown-guest',
      text: `the guest on record is ${record.name} ${record.uid}.${record.incarnation}, not ${guest.uid}.${guest.incarnation}`,
    };
  const swept = effect.kind === 'scratch-sweep';
  if (record.scratch && !swept) return { code: 'gate.unknown-guest', text: 'it belongs to a restore-test' };
  if (!record.scratch && swept) return { code: 'gate.no-authority', text: 'it is no guest of a restore-test' };
  if (row.reaches === 'record') return undefined;
  switch (identity.is) {
    case 'ours':
      return undefined;
    case 'foreign':
      return {
        code: 'gate.foreign',
        text: `what is at VMID ${record.vmid} is not the guest on record (${identity.why})`,
      };
    case 'unknown':
      return { code: 'gate.not-seen', text: `VMID ${record.vmid} was not seen (${identity.why})` };
    case 'ours-unproven':
      if (row.unproven === 'goes-on') return undefined;
      if (row.unproven === 'if-only-volumes-differ' && identity.why === 'volumes-differ') return undefined;
      // A signature binds the proven guest; a blocked action on a likely one could not be carried out either.
      return {
        code: 'gate.unproven',
        text: `VMID ${record.vmid} is likely, not provably, the guest on record (${identity.why}); ${remedies[identity.why]}`,
      };
  }
}

const remedies = {
  'marker-missing': 'put its marker line back into the notes, or have it registered again by a signed job',
  'volumes-differ': 'undo the change of its volumes, or have it registered again by a signed job',
  'ctime-differs': 'a volume was made anew; have it registered again by a signed job',
} as const;

/** What is there must be exactly what was signed for: a volume more is somebody's data, one less is another guest. */
function notTheStranger(
  effect: Extract<BuiltEffect, { kind: 'guest-adopt' | 'guest-re-register' }>,
  seen: StrangerFacts | undefined,
  own: GuestFacts | undefined,
): Objection | undefined {
  if (seen === undefined || seen.vmid !== effect.vmid)
    return { code: 'gate.not-seen', text: `VMID ${effect.vmid} was not seen` };
  if (seen.nameTaken) return { code: 'gate.name-in-use', text: 'another guest on record has the name' };
  if (seen.onRecord && own?.record.vmid !== effect.vmid)
    return {
      code: 'gate.contradictory',
      text: `VMID ${effect.vmid} is on record as a guest of ours; that one can be registered again`,
    };
  if (effect.kind === 'guest-adopt' && effect.configDigest !== seen.configDigest)
    return { code: 'job.changed', text: `the config of VMID ${effect.vmid} is another one by now` };
  const differing = new Set(effect.volumes).symmetricDifference(new Set(seen.volumes));
  if (differing.size === 0) return undefined;
  return {
    code: 'job.changed',
    text: `the volumes of VMID ${effect.vmid} are not those that were signed for (${[...differing].sort().join(', ')})`,
  };
}
