/**
 * The parts of an agent on which nobody may sign anything and which no guest can reach: no trust document, no helper that
 * would act on one, no local API, no cgroup tree.
 */
import { generateKeyPairSync } from 'node:crypto';
import { reason } from '@felhom/protocol';
import { noHelper } from '../src/adapters/helper-command/index.ts';
import type { AgentParts } from '../src/agent-parts.ts';
import { createHostKey } from '../src/host-key/index.ts';

export function unsignedParts(): Pick<
  AgentParts,
  'hostKey' | 'verifier' | 'trustStore' | 'signedHelper' | 'witness' | 'storage' | 'timeZone' | 'localContact'
> {
  const { privateKey } = generateKeyPairSync('ed25519');
  return {
    hostKey: createHostKey(privateKey.export({ format: 'pem', type: 'pkcs8' })),
    verifier: {
      verify: async () => ({ is: 'unknown', why: reason('trust.verifier-missing', 'cannot verify: not in this test') }),
    },
    trustStore: { read: () => ({ is: 'none' }) },
    signedHelper: noHelper(),
    witness: {
      sample: () => Promise.resolve({ is: 'unreadable', text: 'nobody looks' }),
      watch: () => undefined,
    },
    storage: {
      devices: {
        look: () => Promise.resolve({ mounts: [], disks: [] }),
        watch: () => undefined,
        probe: () => Promise.resolve({ is: 'hangs' }),
      },
      manifest: () => ({ is: 'none' }),
      helper: noHelper(),
    },
    timeZone: 'UTC',
    localContact: () => undefined,
  };
}
