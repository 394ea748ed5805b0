import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { Link } from 'wouter';
import { api, type DeliveryView, type WebhookView } from '../api/client';
import { keys, useDeliveries, useWebhooks, useWhyNoAdmin } from '../api/queries';
import { clock, duration, plural } from '../lib/format';
import { Empty, Failed, Loading } from '../ui/Notice';
import { useNow } from '../ui/useNow';
import { WishButton } from '../ui/WishButton';

/** Shown at first, and when more are asked for: the most that the controller gives. */
const SHOWN = 10;
const SHOWN_MAX = 1000;

export function WebhooksPage() {
  const { data: webhooks, error, refetch } = useWebhooks();
  useEffect(() => {
    document.title = 'Webhooks · Assay';
  }, []);
  if (!webhooks && error) return <Failed what="the webhooks" error={error} retry={() => void refetch()} />;
  if (!webhooks) return <Loading what="webhooks" />;
  if (webhooks.length === 0) {
    return (
      <Empty title="No webhook yet">
        <code>ctl webhook add chat https://example.com/hook --on sweep.finished,run.failed</code> tells another program
        what happens, and prints the secret that it is signed with.
      </Empty>
    );
  }
  return (
    <div className="page">
      <div className="head">
        <h1>Webhooks</h1>
      </div>
      <p className="muted">
        Programs that are told what happens. <code>ctl webhook add</code> makes one, and prints its secret.
      </p>
      {error && <p className="warning">What follows is old: {error.message}</p>}
      <ul className="panels">
        {webhooks.map((webhook) => (
          <Webhook key={webhook.name} webhook={webhook} />
        ))}
      </ul>
    </div>
  );
}

function Webhook({ webhook }: { webhook: WebhookView }) {
  const { name, url, events, is_enabled: isEnabled, waiting, created_by: by, created_at: at } = webhook;
  const whyNot = useWhyNoAdmin();
  const client = useQueryClient();
  const wish = (send: () => Promise<unknown>) => async () => {
    await send();
    // its deliveries with it: their key begins with this one
    await client.invalidateQueries({ queryKey: keys.webhooks });
  };
  return (
    <li className="panel" aria-label={`Webhook ${name}`}>
      <div className="head">
        <h2>
          {name} <small className="muted">{url}</small>
        </h2>
        <div className="actions">
          <WishButton
            text="Test"
            whyNot={whyNot ?? (isEnabled ? undefined : 'It is disabled: nothing is sent to it.')}
            send={wish(() => api.wishWebhook(name, 'test'))}
          />
          <WishButton
            text={isEnabled ? 'Disable' : 'Enable'}
            whyNot={whyNot}
            {...(isEnabled && { confirm: `Disable ${name}? What happens until it is enabled it never hears of.` })}
            send={wish(() => api.wishWebhook(name, isEnabled ? 'disable' : 'enable'))}
          />
          <WishButton
            text="Remove"
            whyNot={whyNot}
            confirm={`Remove the webhook ${name}?${waiting === 0 ? '' : ` It has not got ${plural(waiting, 'message')}, and never will.`}`}
            send={wish(() => api.removeWebhook(name))}
          />
        </div>
      </div>
      <p>
        {!isEnabled && <strong>Disabled. </strong>}
        {`Told of ${events.join(', ')}. `}
        {0 < waiting && <strong>{`${plural(waiting, 'message')} to be sent. `}</strong>}
        <span className="muted" title={clock(at)}>{`Added by ${by}.`}</span>
      </p>
      <Deliveries webhook={webhook} send={wish} />
    </li>
  );
}

interface Sending {
  webhook: WebhookView;
  send: (wish: () => Promise<unknown>) => () => Promise<void>;
}

function Deliveries({ webhook: { name, is_enabled: isEnabled }, send }: Sending) {
  const [limit, setLimit] = useState(SHOWN);
  const whyNot = useWhyNoAdmin();
  const { data: page, error, dataUpdatedAt: at } = useDeliveries(name, limit, isEnabled);
  const now = Math.max(useNow(), at);
  if (!page) return <p className="muted">{error ? `Its deliveries could not be loaded: ${error.message}` : 'Loading'}</p>;
  if (page.rows.length === 0) return <p className="muted">Nothing was told to it yet.</p>;
  return (
    <>
      <div className="scroll-x">
        <table className="plain" aria-label={`Deliveries to ${name}`}>
          <thead>
            <tr>
              <th scope="col">When</th>
              <th scope="col">Event</th>
              <th scope="col">About</th>
              <th scope="col">Result</th>
              <th scope="col">Tries</th>
              <td />
            </tr>
          </thead>
          <tbody>
            {page.rows.map((delivery) => (
              <tr key={delivery.delivery_id}>
                <td>{clock(delivery.created_at)}</td>
                <td>{delivery.event}</td>
                <td>
                  {delivery.event === 'ping' ? delivery.about : <Link href={`/sweeps/${delivery.about}`}>{delivery.about}</Link>}
                </td>
                <td className="wide">
                  <Result delivery={delivery} isEnabled={isEnabled} now={now} />
                </td>
                <td>{delivery.tries}</td>
                <td>
                  {delivery.state !== 'waiting' && (
                    <WishButton
                      text="Send again"
                      whyNot={whyNot}
                      send={send(() => api.repeatDelivery(delivery.delivery_id))}
                    />
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {page.before != null && limit < SHOWN_MAX && (
        <button type="button" className="quiet" onClick={() => setLimit(SHOWN_MAX)}>
          Show older ones
        </button>
      )}
    </>
  );
}

interface Going {
  delivery: DeliveryView;
  isEnabled: boolean;
  now: number;
}

/** How it went, or goes: the last answer, and when it is sent again. */
function Result({ delivery, isEnabled, now }: Going) {
  const { state, status, error, next_at: next, tried_at: tried, tries } = delivery;
  const answer = status == null ? error : `answered with ${status}`;
  if (state === 'delivered') return <span title={tried == null ? undefined : clock(tried)}>delivered</span>;
  if (state === 'given_up') return <span className="bad">given up: {answer}</span>;
  const seconds = next == null ? 0 : (Date.parse(next) - now) / 1000;
  const when = !isEnabled ? 'once it is enabled' : 0 < seconds ? `in ${duration(Math.ceil(seconds))}` : 'now';
  if (tries === 0) return <span>sent {when}</span>;
  if (answer == null) return <span>is being sent</span>;
  // somebody may ask for what was delivered once more
  const hasFailed = status == null || status < 200 || 299 < status;
  return (
    <span>
      {hasFailed && <span className="bad">{answer}, </span>}
      sent again {when}
    </span>
  );
}
