/** What `GET /v1/status` answers. */
import type { HostVitals, Reason, Report } from '@felhom/protocol';

export type AgentStatus =
  | {
      readonly is: 'running';
      readonly report: Report;
      readonly source: string;
      /** Numbers of the host of now, where somebody looks at it. */
      readonly vitals?: HostVitals | undefined;
    }
  | { readonly is: 'degraded'; readonly why: Reason };
