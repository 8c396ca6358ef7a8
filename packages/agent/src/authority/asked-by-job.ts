/** What an effect asks for that only a signed job, or root at this box, can ask. */
import { canonicalDigest } from '@felhom/protocol';
import type { Asked } from './asked.ts';
import type { GuestRef, JobEffect } from './effects.ts';
import type { GuestFacts } from './facts.ts';

export function askedByJob(effect: JobEffect, facts: GuestFacts | undefined): Asked {
  const ofHost = (words: string, parameters: Asked['parameters'] = {}): Asked => ({
    name: undefined,
    guest: undefined,
    subject: { is: 'host' },
    verb: effect.kind,
    parameters,
    loss: [],
    words,
    contradiction: undefined,
  });
  const ofGuest = (guest: GuestRef, words: string): Asked => ({
    ...ofHost(words),
    name: guest.name,
    guest,
    subject: { is: 'guest', uid: guest.uid, incarnation: guest.incarnation },
  });
  switch (effect.kind) {
    case 'guest-decommission':
      return {
        ...ofGuest(
          effect.guest,
          `remove guest ${effect.guest.name} with all its volumes${effect.backups === 'delete' ? ' and its backups' : ''}`,
        ),
        parameters: { backups: effect.backups },
        loss: everyVolumeOf(effect.volumes, facts),
      };
    case 'guest-lift-quarantine':
      return ofGuest(effect.guest, `cancel the removal of guest ${effect.guest.name}`);
    case 'guest-adopt':
      return {
        ...ofHost(`adopt VMID ${effect.vmid} as guest ${effect.name}`, {
          vmid: effect.vmid,
          configDigest: effect.configDigest,
        }),
        name: effect.name,
        subject: { is: 'new-guest', name: effect.name },
        // Nothing is lost yet: it becomes possible to lose it.
        loss: effect.volumes,
      };
    case 'guest-re-register':
      return {
        ...ofGuest(effect.guest, `register VMID ${effect.vmid} again as guest ${effect.guest.name}`),
        parameters: { vmid: effect.vmid },
        loss: effect.volumes,
      };
    case 'hold-set':
    case 'hold-clear': {
      const words = effect.kind === 'hold-set' ? 'set a hold on' : 'lift the hold on';
      return effect.scope === 'host'
        ? ofHost(`${words} this host`)
        : ofGuest(effect.scope, `${words} guest ${effect.scope.name}`);
    }
    case 'saga-resume':
    case 'saga-abandon':
      return {
        ...ofHost(`${effect.kind === 'saga-resume' ? 'resume' : 'abandon'} saga ${effect.sagaId} at ${effect.step}`, {
          saga: effect.sagaId,
          step: effect.step,
        }),
        loss: effect.loss,
      };
    case 'trust-change':
      return {
        ...ofHost('change whom this host trusts', { before: effect.before, after: effect.after }),
        contradiction: effect.before === effect.after ? 'the document is the one in force' : undefined,
      };
    case 'floor-change':
      return {
        ...ofHost(`change the floor ${effect.floor} from ${effect.from} to ${effect.to}`, {
          before: effect.before,
          floor: effect.floor,
          from: effect.from,
          to: effect.to,
        }),
        contradiction: [effect.from, effect.to].every((value) => Number.isSafeInteger(value) && value >= 0)
          ? undefined
          : 'a floor is a whole number',
      };
    case 'break-glass-open':
      return {
        ...ofHost(`let a key log in to this host for ${effect.minutes} minutes`, {
          minutes: effect.minutes,
          key: effect.key,
          // There may be more than a parameter holds, and who signs has them in the job.
          consents: canonicalDigest([...new Set(effect.consents)].sort()),
        }),
        contradiction:
          Number.isSafeInteger(effect.minutes) && effect.minutes > 0
            ? undefined
            : 'it takes a whole number of minutes, at least one',
      };
    case 'break-glass-close':
      return ofHost('close break-glass');
    case 'target-attach':
      return ofHost(`attach storage target ${effect.target} (${effect.identity})`, {
        target: effect.target,
        identity: effect.identity,
        declaration: effect.declaration,
      });
    case 'target-detach':
    case 'target-wipe':
      return ofHost(
        effect.kind === 'target-wipe'
          ? `wipe storage target ${effect.target}: everything on it, for good`
          : `detach storage target ${effect.target}`,
        { target: effect.target, serial: effect.serial, uuid: effect.uuid, idFile: effect.idFile },
      );
    case 'target-re-point':
      return ofHost(`re-point storage target ${effect.target} to ${effect.identity}`, {
        target: effect.target,
        serial: effect.serial,
        uuid: effect.uuid,
        idFile: effect.idFile,
        identity: effect.identity,
        declaration: effect.declaration,
      });
    case 'tunnel-change':
      return ofHost(`let the tunnel in to ${effect.guests.join(', ')} by other rules`, {
        before: effect.before,
        declaration: effect.declaration,
        guests: [...effect.guests],
      });
    case 'backup-force':
      return {
        ...ofGuest(effect.guest, `back up guest ${effect.guest.name} to ${effect.tier} now, beyond its quota`),
        parameters: { tier: effect.tier },
      };
    case 'backup-delete':
    case 'backup-unprotect':
      return {
        ...ofGuest(
          effect.guest,
          effect.kind === 'backup-delete'
            ? `delete backup ${effect.backup.archive} of guest ${effect.guest.name}`
            : `take the protection off backup ${effect.backup.archive} of guest ${effect.guest.name}`,
        ),
        parameters: { sha256: effect.backup.sha256 },
        loss: [effect.backup.archive],
      };
    case 'restore-overwrite':
    case 'restore-in-place': {
      const { guest, backup, bulk } = effect;
      const undo = effect.kind === 'restore-overwrite' ? { undoHours: effect.undoHours } : {};
      const after =
        effect.kind === 'restore-overwrite' ? `, with ${effect.undoHours} hours to undo it` : ', without undo';
      return {
        ...ofGuest(guest, `put guest ${guest.name} back to backup ${backup.archive}${after}`),
        parameters: { archive: backup.archive, sha256: backup.sha256, bulk: [...bulk].sort(), ...undo },
        loss: effect.loss,
        contradiction: notEveryVolume(effect, facts),
      };
    }
    case 'restore-copy':
      return {
        ...ofGuest(effect.guest, `make guest ${effect.name} as a copy of guest ${effect.guest.name}`),
        parameters: { archive: effect.backup.archive, sha256: effect.backup.sha256, name: effect.name },
      };
    case 'guest-rollback':
      return {
        ...ofGuest(effect.guest, `roll guest ${effect.guest.name} back to snapshot ${effect.snapshot}`),
        parameters: { snapshot: effect.snapshot, takenAt: effect.takenAt },
        // Everything written to them since.
        loss: effect.volumes,
      };
    case 'restore-undo':
    case 'restore-finish':
      return {
        ...ofGuest(
          effect.guest,
          effect.kind === 'restore-undo'
            ? `undo the restore of guest ${effect.guest.name}: what was written since is lost`
            : `end the undo window of guest ${effect.guest.name}: the guest as it was before is freed`,
        ),
        parameters: { saga: effect.sagaId },
        loss: effect.loss,
      };
  }
}

/**
 * What a removal loses: all that is on record or seen, whatever was named, so that a name too many is no part of it and a
 * name too few hides nothing. Where nobody has looked it is what was named.
 */
export function everyVolumeOf(named: readonly string[], facts: GuestFacts | undefined): readonly string[] {
  if (facts === undefined) return [...new Set(named)];
  return [...new Set([...facts.record.volumes.map((volume) => volume.volid), ...facts.seenVolumes])];
}

/** What is carried over and what is freed have to be all that the guest has, or something went unsaid. */
function notEveryVolume(
  effect: Extract<JobEffect, { kind: 'restore-overwrite' | 'restore-in-place' }>,
  facts: GuestFacts | undefined,
): string | undefined {
  if (facts === undefined) return undefined;
  const named = new Set<string>([...effect.bulk, ...effect.loss]);
  const differing = named.symmetricDifference(new Set<string>(everyVolumeOf([], facts)));
  return differing.size === 0
    ? undefined
    : `its volumes are not those that were signed for (${[...differing].sort().join(', ')})`;
}
