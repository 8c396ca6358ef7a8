/** What `GET /v1/status` answers. */
import type { Reason, Report } from '@felhom/protocol';

export type AgentStatus =
  | { readonly is: 'running'; readonly report: Report; readonly source: string }
  | { readonly is: 'degraded'; readonly why: Reason };
