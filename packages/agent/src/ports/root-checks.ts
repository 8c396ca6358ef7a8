/** What the doctor asks of root, because only root can look. Reads only. */
import type { Outcome } from '../kernel/saga.ts';

export interface RootChecks {
  /** Done: root can open the sealed credential of this declared target. What it says goes nowhere. */
  credentialTest(target: string, signal: AbortSignal): Promise<Outcome<void>>;
  /** Whether the fence of the tunnel by port is loaded in the kernel. */
  tunnelFence(signal: AbortSignal): Promise<Outcome<boolean>>;
}
