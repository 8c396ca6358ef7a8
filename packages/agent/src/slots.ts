/** What people are told of a build on trial, and of one that was taken back. Pure. */
import type { Finding } from '@felhom/protocol';
import type { GateRecords, GateTrial, GateVerdict } from './ports/slots.ts';

const command = '/usr/lib/felhom/slot status';

export function findingsOfSlots({ trial, last }: GateRecords): readonly Finding[] {
  if (trial !== undefined) return [ofTrial(trial)];
  // What ended well is no news, and what root did by hand root knows.
  if (last === undefined || last.verdict === 'good' || last.verdict === 'void' || last.why === 'by-hand') return [];
  return [last.verdict === 'good-local' ? ofGoodLocal(last) : ofReverted(last)];
}

function ofTrial({ slot, previous, build, watched, why, since }: GateTrial): Finding {
  const text =
    watched === 'trial'
      ? `Build ${build} of the agent is on trial in slot ${slot}.`
      : `Build ${build} of the agent was taken back (${why}); slot ${previous} serves again and is being watched.`;
  return {
    key: 'update.trial',
    severity: watched === 'trial' ? 'info' : 'warning',
    subject: 'agent',
    text,
    advice: { text: 'Nothing; it stays or is taken back by itself.', command },
    since,
  };
}

function ofGoodLocal({ build, since }: GateVerdict): Finding {
  return {
    key: 'update.good-local',
    severity: 'info',
    subject: 'agent',
    text: `Build ${build} of the agent proved itself on this host while the hub was not reached.`,
    advice: { text: 'See whether the host reports since then.', command },
    since,
  };
}

function ofReverted({ verdict, slot, previous, build, why, pinned, since }: GateVerdict): Finding {
  const about = { key: 'update.reverted', subject: 'agent', since };
  if (verdict === 'stuck')
    return {
      ...about,
      severity: 'critical',
      text: `Build ${build} of the agent was taken back (${why}), and slot ${previous}, which served before it, is not well either. It stays.`,
      advice: { text: 'It is no matter of the build: see what else is wrong with this host.', command },
    };
  const again = pinned ? 'It is not tried again.' : 'It may be tried once more.';
  return {
    ...about,
    severity: 'warning',
    text: `Build ${build} of the agent in slot ${slot} was taken back (${why}); slot ${previous} serves and is well. ${again}`,
    advice: { text: 'journalctl -u felhom-agent shows how it ended. A mended build is another one.', command },
  };
}
