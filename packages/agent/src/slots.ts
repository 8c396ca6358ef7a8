/** What people are told of a build on trial, and of one that was taken back. Pure. */
import type { Finding } from '@felhom/protocol';
import type { GateRecords, GateTrial, GateVerdict } from './ports/slots.ts';

const command = '/usr/lib/felhom/slot status';
/** Builds share `/var/lib/felhom`, and the gate cannot tell a bad build from what the one before it left there. */
const veto =
  'If the agent that served before is not trusted, what it left in /var/lib/felhom may be the cause: `slot try`, and `slot keep` at once.';

export function findingsOfSlots({ trial, last }: GateRecords): readonly Finding[] {
  if (trial !== undefined) return [ofTrial(trial)];
  // What ended well is no news, and what root did by hand root knows.
  if (last === undefined || last.verdict === 'good' || last.why === 'by-hand') return [];
  if (last.verdict === 'void') return ofVoid(last);
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

/** Nothing to tell where the one before it runs. Else something runs that nobody watched, perhaps the very build that failed. */
function ofVoid({ slot, previous, build, inForce, since }: GateVerdict): readonly Finding[] {
  if (inForce === undefined || inForce === previous) return [];
  const which = inForce === 'other' ? 'What is no slot' : `Slot ${inForce}`;
  return [
    {
      key: 'update.unwatched',
      severity: 'warning',
      subject: 'agent',
      text: `${which} was put in force from outside while build ${build} of the agent was on trial in slot ${slot}: nobody watches whether it is well.`,
      advice: {
        text: 'Put a build in force with `slot try`, then it is watched. If this one was meant: rm /var/lib/felhom-gate/last',
        command,
      },
      since,
    },
  ];
}

function ofReverted({ verdict, slot, previous, build, why, pinned, since }: GateVerdict): Finding {
  const about = { key: 'update.reverted', subject: 'agent', since };
  if (verdict === 'stuck')
    return {
      ...about,
      severity: 'critical',
      text: `Build ${build} of the agent was taken back (${why}), and slot ${previous}, which served before it, is not well either. It stays.`,
      advice: {
        text: `It is no matter of the build: see what else is wrong with this host. ${veto}`,
        command,
      },
    };
  const again = pinned ? 'It is not tried again.' : 'It may be tried once more.';
  return {
    ...about,
    severity: 'warning',
    text: `Build ${build} of the agent in slot ${slot} was taken back (${why}); slot ${previous} serves and is well. ${again}`,
    advice: { text: `journalctl -u felhom-agent shows how it ended. A mended build is another one. ${veto}`, command },
  };
}
