/** The parts of an agent on which nobody may sign anything: no trust document, no helper that would act on one. */
import { generateKeyPairSync } from 'node:crypto';
import { reason } from '@felhom/protocol';
import { noHelper } from '../src/adapters/helper-command/index.ts';
import type { AgentParts } from '../src/agent.ts';
import { createHostKey } from '../src/host-key/index.ts';

export function unsignedParts(): Pick<AgentParts, 'hostKey' | 'verifier' | 'trustStore' | 'signedHelper'> {
  const { privateKey } = generateKeyPairSync('ed25519');
  return {
    hostKey: createHostKey(privateKey.export({ format: 'pem', type: 'pkcs8' })),
    verifier: {
      verify: async () => ({ is: 'unknown', why: reason('trust.verifier-missing', 'cannot verify: not in this test') }),
    },
    trustStore: { read: () => ({ is: 'none' }) },
    signedHelper: noHelper(),
  };
}
