/** The root-owned trust document, as the agent may read it. Changing it is the root helper's, see `host-helper.ts`. */
import type { Digest, Reason, TrustDocument } from '@felhom/protocol';

export type TrustRead =
  /** No document was put there: nothing that needs a signature can be allowed. */
  | { readonly is: 'none' }
  | { readonly is: 'unreadable'; readonly why: Reason }
  | { readonly is: 'held'; readonly document: TrustDocument; readonly digest: Digest };

export interface TrustStore {
  /** As the file is now. Cheap: called several times per pass. */
  read(): TrustRead;
}
