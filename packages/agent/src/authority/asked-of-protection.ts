/** What an effect asks for that protects a guest: copies, their proof, and what a guest asks for itself. */
import type { Asked } from './asked.ts';
import type { ProtectionEffect } from './effects.ts';

export function askedOfProtection(effect: ProtectionEffect): Asked {
  const { uid, incarnation, name } = effect.guest;
  return {
    name,
    guest: effect.guest,
    subject: { is: 'guest', uid, incarnation },
    verb: effect.kind,
    loss: [],
    contradiction: undefined,
    ...told(effect),
  };
}

type Told = Pick<Asked, 'parameters' | 'words'> & Partial<Pick<Asked, 'loss' | 'contradiction'>>;

function told(effect: ProtectionEffect): Told {
  const guest = effect.guest.name;
  switch (effect.kind) {
    case 'backup-run':
      return {
        words: `back up guest ${guest} to ${effect.tier}`,
        parameters: { tier: effect.tier, slot: effect.slot },
      };
    case 'backup-on-demand':
      return { words: `back up guest ${guest} to ${effect.tier}, as it asks`, parameters: { tier: effect.tier } };
    case 'backup-prune':
      return {
        words: `prune backup ${effect.backup.archive} of guest ${guest}`,
        parameters: { sha256: effect.backup.sha256 },
        loss: [effect.backup.archive],
      };
    case 'marker-renew':
      return { words: `renew the marker of guest ${guest}`, parameters: {} };
    case 'restore-test':
      return {
        words: `restore backup ${effect.backup.archive} of guest ${guest} as a test`,
        parameters: { tier: effect.tier, archive: effect.backup.archive, sha256: effect.backup.sha256 },
      };
    case 'scratch-sweep':
      return { words: `remove what a restore-test of ${guest} left`, parameters: {} };
    case 'guest-recover':
      return {
        words: `bring the lost guest ${guest} back from ${effect.backup.archive}`,
        parameters: { tier: effect.tier, archive: effect.backup.archive, sha256: effect.backup.sha256 },
      };
    case 'checkpoint-drop':
      return {
        words: `drop checkpoint ${effect.checkpoint} of guest ${guest}`,
        parameters: { checkpoint: effect.checkpoint },
      };
    case 'controller-update':
      return {
        words: `run controller ${effect.role} ${effect.version} in guest ${guest}`,
        parameters: { role: effect.role, version: effect.version, digest: effect.digest },
      };
    case 'claim-issue':
      return { words: `give guest ${guest} a new claim`, parameters: {} };
    case 'claim-drop':
      return { words: `take a spent claim out of the config of guest ${guest}`, parameters: {} };
    case 'guest-remount':
      return {
        words: `restart guest ${guest}, whose disk ${effect.targets.join(', ')} was pulled and is back`,
        parameters: { targets: effect.targets },
      };
    case 'snapshot-take':
      return { words: `take a checkpoint of guest ${guest}`, parameters: { purpose: effect.purpose } };
    case 'self-rollback':
      return {
        words: `roll guest ${guest} back to its checkpoint ${effect.checkpoint}`,
        parameters: { checkpoint: effect.checkpoint },
      };
  }
}
