-- Messages of the registry's own members and what they are told (`gateway.icsd_node`): the node
-- itself knows nothing of them. They are not part of the network's book: a registry that is built
-- anew from the archive of another one begins with an empty mailbox.

CREATE TABLE messages (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order in which they are done
    member      text   COLLATE "C" NOT NULL, -- pseudonym, as the network knows it
    message     text   COLLATE "C" NOT NULL, -- BizMsgIdr
    id          uuid   NOT NULL, -- of what it asks for
    definition  text   NOT NULL,
    digest      bytea  NOT NULL, -- of its content
    received_at bigint NOT NULL,
    raw         bytea  NOT NULL, -- byte for byte
    entry       bytea, -- what is to be ordered; none where it was refused at once
    answered_at bigint,
    UNIQUE (member, message)
);
CREATE INDEX messages_open ON messages (number) WHERE answered_at IS NULL;

CREATE TABLE mailbox (
    member     text   COLLATE "C" NOT NULL,
    sequence   bigint NOT NULL, -- 1, 2, ...: the cursor
    id         uuid   NOT NULL,
    definition text   NOT NULL,
    related    text   NOT NULL, -- header of the message that it answers (JSON)
    created_at bigint NOT NULL,
    content    text   NOT NULL, -- typed (JSON)
    PRIMARY KEY (member, sequence)
);

-- How far a member says that it has received.
CREATE TABLE mailbox_reached (
    member  text   COLLATE "C" PRIMARY KEY,
    through bigint NOT NULL
);
