"""Tales: short children's stories drawn from a grammar, so that the true entropy of the corpus is known.

A model trained on found text can only be compared with other models. One trained on tales can be compared with the
truth: the grammar says how probable each story is, hence how many bits the best possible model would need for it.
The grammar comes first, as text to read and edit; the short machinery that writes, reads and measures it follows.

    story                     the name of a rule; its alternatives follow, a line each or several between bars
        5 Once {hero} ran.    a number in front is the weight (1 if absent); a line indented deeper continues the last
    {hero}                    choose an alternative of the rule `hero` and write it
    {5 ran|2 walked}          the same for a rule without a name
    hero = name / he          a rule with columns: an alternative writes the first, and all of them are remembered
    [name]  [He]              write what was remembered; a capital in the name gives a capital in the text

Two properties make probabilities exact. The alternatives of a rule are prefix-free: no text of one begins with a
text of another, so a story has one derivation and reading it needs no second thoughts. And what is remembered
decides words, never weights, so that, given the way to them, choices are independent and the chain rule is a sum.
"""

import math
import random
import re
from collections.abc import Sequence
from functools import cached_property

GRAMMAR = r"""
story
    {opening} {plot}

opening
    8 Once upon a time there was {trait} child named {hero}. [He] lived in {house} {where}.
    5 Once upon a time, in {house} {where}, there lived {trait} child named {hero}.
    5 {hero} was {trait} [girl] who lived in {house} {where}.
    3 In {house} {where} lived {hero}, {trait} [girl] who loved to {pastime}.
    3 There was once {trait} child named {hero}, who lived in {house} {where} and loved to {pastime}.
    2 Not long ago, {trait} child lived in {house} {where}. The child's name was {hero}.
plot
    6 {losing} | 6 {wishing} | 5 {making} | 5 {learning} | 6 {meeting} | 5 {baking} | 5 {fearing} | 4 {quarreling}
    4 {straying}

losing
    6 [His] favorite thing in the whole world was {color} {toy} from {elder}. {dear}\n{loss}
    5 On [his] birthday, {elder} gave [him] {color} {toy}. {dear}\n{loss}
    3 [He] had {color} {toy} that {elder} had found {at the market|in an old box|in a shop by the harbor}. {dear}\n{loss}
dear
    5 Every {4 day|2 evening|1 Sunday}, [he] liked to [play].
    4 [He] {3 took|2 carried} it {3 everywhere|1 to breakfast, to the garden, and to bed}.
    2 Nothing was better than to [play].
loss
    But one {sky} {4 morning|3 afternoon|1 evening}, the [color] [toy] was gone. {search}\n{asking}\n{found}
search
    5 [He] looked {indoors}, but {4 found only|2 there was only} {junk}. [He] looked {outdoors}, but {not_there}. {tear}
    3 [Name] {3 searched|2 looked} {indoors} and {outdoors}. {3 Nothing|2 It was nowhere}! {tear}
not_there
    4 it was not there either | 2 saw only {3 a snail|2 a beetle|2 wet leaves} | 2 there was no [toy]
tear
    4 A tear {3 rolled|1 ran} down [his] {3 cheek|2 nose}. | 3 [His] heart felt as heavy as a stone.
    3 [He] sat down on the {3 steps|2 floor} and {3 cried|2 sighed}.
asking
    5 "Where did you {4 have|2 see} it last?" asked [elder]. [Name] {3 thought hard|1 closed [his] eyes and thought}.
        "{memory}!" [he] {3 said|2 cried}.
    3 "{4 Do not cry|2 Take a deep breath}," said [elder]. "Where {2 did you play|1 were you} yesterday?"
        "{memory}," said [name].
found
    6 {4 So they went|2 They hurried|1 They walked} [there] with {pal}, [his] {3 little|2 old|2 faithful} {pet}.
        {4 Suddenly|2 After a while} [pal] [call]. There, [hidden], lay the [toy]!
        "{praise}, [pal]!" {3 cried|2 laughed} [name], and [pal] [cheer]. {ending}
    4 [Name] {3 ran|2 raced} [there]. A child named {kid} was sitting there with the [toy]. "I found it [hidden],"
        said [kid]. "I {3 waited|2 stayed}, because I knew that somebody would {3 miss it|2 come}." [Name]
        {4 thanked|1 hugged} [kid], and {3 they played together until dark|2 soon they were the best of friends}. {ending}
    4 [He] {3 ran|2 raced} [there]. The [toy] lay [hidden], but it was not alone. {sleeper} was {3 asleep|1 sleeping}
        beside it. "You may keep it {3 tonight|2 until tomorrow}," [name] whispered. In the morning the [toy] was back
        {3 on the doorstep, and on top of it lay|2 at the door, together with} {token}. {ending}
sleeper
    4 A {3 tiny|1 little} mouse | 3 A {3 lost|1 gray} kitten | 3 A baby rabbit | 2 A small hedgehog

wishing
    6 More than anything, [he] {4 wanted|1 wished for} {color} {prize}. {price}
    4 In the window of the toy shop stood {color} {prize}. Every day [name] {3 stopped|2 came} to look at it. {price}
    3 One {sky} day, [name] saw {color} {prize} in a shop and could not {3 stop thinking about|2 forget} it. {price}
price
    It cost {10 ten|6 twelve|4 twenty} coins, but [name] had only {4 three|3 two|2 four}. "{earn}," [he] {3 said|2 decided}.
        \nOn Monday [he] {job} for {owner}. On {3 Tuesday|3 Thursday|2 Friday} [he] {late_job} for {elder}.
        {3 Each time|2 Every day} a few more coins fell into [his] {3 jar|2 pocket}, until {4 at last|2 one day}
        [he] had enough.\n{shop} {ending}
earn
    4 Then I will earn the rest | 3 I can work for the rest | 2 I will find a way
shop
    5 The shopkeeper counted the coins {3 twice|1 slowly}, smiled, and lifted the [prize] down from the shelf.
        "You {3 worked hard|2 waited a long time} for this," said the shopkeeper. [Name] {3 ran home|2 laughed} and [use].
    3 But the shelf was empty! [Name] walked home with slow steps. There, on the table, stood the [color] [prize] with a
        ribbon around it. "I saw how hard you worked," said [elder]. [Name] {3 laughed|2 hugged [elder]} and [use].
    4 But {3 in front of|2 next to} the shop stood {kid}, who was crying. "{misfortune}," said [kid]. [Name] looked at the
        coins. Then [he] gave [kid] {4 half of them|3 every one of them}. The shopkeeper {4 saw|2 had seen} it through the
        window and {4 came out|2 opened the door}. "Take the [prize] {3 today|2 home}," said the shopkeeper, "and
        {2 pay me when you can|3 help me on Saturdays}." Soon [name] [use].
misfortune
    4 I lost the money for our bread | 3 I broke our last cup, and a new one costs so much
    3 My brother is sick, and we need medicine | 2 Our hen ran away, and now there are no eggs to sell

making
    6 [Name] {4 wanted|2 dreamed of} {craft}. "We can make one," said {elder}. {work}
    4 One {sky} {4 morning|3 afternoon}, [name] and {elder} decided to make {craft}. {work}
    3 "Can you buy me {craft}?" [name] asked {elder}. "No," said [elder], "but we can make one." {work}
work
    {3 They found|2 All they needed was} [material]. They worked {3 all morning|2 for hours|1 without a break}, and [name] {chatter}.
    \nBut when they tried it, [flaw]. "{3 It is no good|2 It will never work}," {3 said|2 sighed} [name].
    "{wisdom}," said [elder]. So they [mend]. Then [name] {2 held [his] breath|2 closed [his] eyes} and tried {3 again|1 once more}.
    \nThis time, [triumph]! "{praise}, [name]!" {3 cried|2 laughed} [elder]. {ending}
chatter
    3 sang the whole time | 3 asked a hundred questions | 2 had glue on every finger | 2 forgot to eat lunch
wisdom
    4 Nothing works the first time | 3 Then we know what to change | 2 Every mistake is a small teacher
    2 Good things take a little longer

learning
    5 There was one thing [he] wanted to learn: to {skill}. {lesson}
    4 All the other children knew how to {skill}, but [name] did not. {lesson}
    3 One {sky} day, [name] decided to learn how to {skill}. {lesson}
lesson
    The first time, [he] [fail]. The second time, [he] [fail] again. {giving_up}
        \n{teacher} {3 had seen everything|2 was watching}. "[Tip]," said [teacher_name]. [Name] tried again
        {3 the next day|2 after supper}, and {3 again the day after|2 every day that week}. {4 At last|2 Then, on Sunday},
        [he] [win]!\n{passing_on}
giving_up
    4 "I will never learn it," [he] {3 sighed|2 said}. | 2 [He] {kicked a stone|threw [his] hat on the ground}.
    3 {2 Some birds in the tree|3 The children} laughed, and [name] wanted to {3 go home|2 hide}.
passing_on
    5 {4 The next|2 One} {3 summer|2 spring}, a small child named {kid} came to [name]. "Can you show me how to [skill]?" asked [kid].
        "{3 Of course|2 Gladly}," said [name]. "[Tip]."
    4 [He] ran to tell {elder}, who {3 clapped and clapped|2 wanted to see it at once}. "{praise}!" said [elder]. {ending}
    2 "{praise}!" {3 said|2 called} [teacher_name]. [Name] {3 smiled|2 laughed} from ear to ear. {ending}

meeting
    6 One {sky} {4 morning|3 afternoon|1 evening}, [name] heard a {sound} {nearby}. It was {creature}. {rescue}
    4 {4 While playing|2 On the way to the market}, [name] found {creature} {nearby}. {rescue}
    2 After a night of rain, {creature} lay {nearby}, and [name] was the first to see it. {rescue}
rescue
    {trouble}. [Name] {3 tried to help|2 did what [he] could}, but [fail]. So [he] ran to {elder}. "{calm}," said [elder].
        They {3 came back with|2 brought} [tool], and {3 very gently|2 little by little} they [cure].
        The [animal] {3 looked at them with big eyes|2 shook itself|2 gave a tiny sneeze}.\n{farewell}
calm
    4 Let us be quick but quiet | 3 Do not worry, we will help it | 2 Speak softly, it is afraid
farewell
    4 "{2 What shall we call you|3 Do you need a name}?" asked [name]. [He] called it {pal}. From that day on, [pal] followed
        [him] {3 everywhere|2 to school and back|2 like a small shadow}. {ending}
    4 {3 Just then|2 A moment later} its mother came out of the {3 bushes|2 trees}, and the two went {home_wild}. The next
        morning there was a {3 present|2 surprise} on the doorstep: {token}. [Name] {3 knew|2 could guess} who had brought it.
    3 {4 When it was well|2 After three days}, they {3 let it go|2 carried it back}. But every {3 evening|2 Sunday} the [animal] came
        to the {window|gate}, and [name] gave it {treat}. {ending}
home_wild
    3 into the forest together | 2 home side by side | 2 away through the tall grass

baking
    5 {3 Tomorrow was|2 It was almost} {elder}'s birthday, and [name] wanted to bake {cake}. {recipe}
    4 {3 One|2 That} {sky} day, [elder_of] {elder} was {3 sick|2 sad} in bed, so [name] decided to bake {cake}. {recipe}
baking
    5 Tomorrow was {elder}'s birthday, and [name] wanted to bake {cake}. {recipe}
    4 One {sky} day, {elder} was {4 a little sad|2 sick in bed}, so [name] decided to bake {cake}. {recipe}
    2 "I have not tasted {cake} for years," said {elder}. [Name] {3 heard it and had an idea|2 did not forget it}. {recipe}
recipe
    [He] {3 put on an apron|2 washed [his] hands} and {3 opened|2 read} the old cookbook. But there was no {missing} in the
        {3 kitchen|2 house}. So [he] {3 went to|2 knocked at the door of} {owner}.
        \n"I will give you {3 some|2 all my} [missing]," said [owner], "if you {favor} first." [Name] {3 did it gladly|
        2 worked until noon|2 rolled up [his] sleeves}, and {4 soon|2 then} [he] was {3 back|2 home} with the [missing].
        {mixing}\n{4 But oh|1 Oh}, the cake came out {3 crooked|3 flat|2 black on one side|2 as hard as wood}! {tasting}
mixing
    4 [He] {3 mixed and stirred|2 stirred and hummed} until there was {3 dough on|2 flour on} the {4 floor|2 ceiling|2 cat}.
    3 Soon the whole house {3 smelled sweet|2 was warm}.
tasting
    5 [Name] {3 wanted to hide it|2 was close to tears}. [Elder] {3 took a bite|2 tasted it} and {4 smiled|2 closed [elder_his] eyes}.
        "It is the best [cake] in the world," [elder_he] said, "because you made it." {guests}
    3 "It is {3 terrible|2 ugly}," said [name]. "No," said [elder], "it is {3 full of love|2 the nicest present of all}." {guests}
guests
    3 In the evening, [owner] came {3 for a piece|2 to share it}, and nobody left a crumb. {ending}
    4 They ate it together, {3 crumb by crumb|2 with two big spoons|2 under the kitchen lamp}. {ending}

fearing
    5 [Name] was not afraid of {mice|spiders|bees} or {3 high trees|2 cold water|2 wild geese}. But [he] was afraid of {fear}. {facing}
    3 Only one thing in the world could {3 frighten|2 scare} [him], and that was {fear}. {facing}
    2 Nobody knew it, but [name] was afraid of {fear}. {facing}
facing
    [scene]. {4 One day|2 At last} [he] told {elder} about it. "{courage}," said [elder], and gave [him] {token}.
        "{3 Hold this tight|2 Keep this in your pocket}, and I will be {3 close by|2 right behind you}."
        \n{4 That evening|2 The next day}, [name] {3 took a deep breath|2 counted to three|2 squeezed the [token]} and [act].
        [His] {3 heart beat like a drum|2 knees shook}. And then [he] {3 began to laugh|2 had to smile}. [truth]!\n{braver}
courage
    4 Brave people are afraid too | 3 You can be afraid and do it anyway | 2 Being brave starts with one small step
    2 When I was small, I was afraid of it too
braver
    4 [Name] {3 gave back the [token]|2 put the [token] on the shelf}. "I do not need it {3 anymore|2 now}," [he] said. {ending}
    3 Later [he] gave the [token] to {kid}, who was {3 afraid|1 scared} of {3 the dentist|2 dogs|2 heights}. "It {3 helps|2 works},"
        [he] said, "{3 but you are the brave one|2 especially if you laugh}."
    2 "Were you afraid?" asked [elder]. "{3 Yes|2 A little}," said [name], "{3 and I did it anyway|2 but not for long}." {ending}

quarreling
    5 [His] best friend was {kid}. {side_by_side} But one {sky} day, they both wanted {thing}. {quarrel}
    4 [Name] and {kid} were {3 best|2 old} friends. {side_by_side} Then, one {sky} {3 morning|2 afternoon}, there was {thing}, and
        both of them wanted it. {quarrel}
side_by_side
    4 They {3 did everything together|2 shared every secret}. | 2 Nobody had ever heard them shout.
    3 They built {3 dams|2 towers|2 forts} and {3 chased frogs|2 climbed walls|2 told jokes}.
quarrel
    "It is mine!" {3 cried|2 said} [name]. "{3 I saw it first|2 No, it is my turn}!" {3 shouted|2 cried} [kid]. They pulled
        {3 and pulled|2 as hard as they could}. [Break]! Both of them {3 went home without a word|2 turned red and walked away}.
        \n{3 The evening|2 The next day} was {3 long|2 much too quiet}. {sorry} Together they [mend_it], and after that
        [share]. {3 It was more fun that way|2 It was twice as much fun}. {ending}
sorry
    4 At last [name] knocked at [kid]'s door. "I am sorry," [he] said. "{3 Me too|2 So am I}," said [kid].
    3 Then [kid] {3 came to the gate|2 threw a small stone at the window}. "{3 I am sorry|2 I miss you}," said [kid].
        "{3 So am I|2 Me too}," said [name].
    2 Then {elder} said, "{3 A friend is worth more than any toy|2 Somebody has to speak first}." [Name] ran to [kid] and
        {3 said that [he] was sorry|2 gave [kid] a hug}.
straying
    5 One {sky} {4 morning|3 afternoon}, [name] waved to {elder} and {3 followed|2 ran after} {lure} {into_wild}. {lost_way}
    3 "Do not go too far," said {elder}. But [name] saw {lure} and {3 followed|2 chased} it {into_wild}. {lost_way}
lost_way
    When [he] {3 turned around|2 looked up}, {3 every tree looked the same|2 the path was gone|2 the sun was already low}.
        "{3 I am lost|2 How will I get home}!" {3 cried|2 whispered} [name].
        \n{guide} {3 came out of the shadows|2 sat on a stump}. "I {3 know|2 can show you} the way," said [guide_name],
        "if you {bargain}
bargain
    5 can answer my riddle. {riddle}?" [Name] thought {3 for a long time|2 hard}. {wrong} "[Answer]!" "That is {3 right|2 it}!"
        {3 said|2 laughed} [guide_name]. {way_home}
    3 give me {payment}." [Name] {3 did not have one, but [he] had|2 looked in [his] pockets and found} {token}.
        "{3 Even better|2 That will do}," said [guide_name], and took the [token]. {way_home}
    3 tell me a story." So [name] told the one about {tale}. [Guide_name] {3 laughed until the leaves shook|2 listened to
        every word}. {way_home}
wrong
    3 Then [he] {3 laughed|2 jumped up}. | 2 The wind {3 rustled|2 hummed} in the trees.
way_home
    They {3 walked|2 went} {landmark} until [name] saw {3 a light|2 smoke} {3 far away|2 in the distance}. It was [the_house] [where]!
        \n[Elder] stood at the {3 gate|2 door} with {3 a lantern|2 a warm coat}. "Where have you been?" [elder_he] {3 asked|2 cried}.
        "{3 I made a friend|2 It is a long story}," said [name]. {ending}
ending
    5 That night, [name] {4 fell asleep with a smile|3 dreamed of {dream}}.
    4 "{3 What a|2 This was a} {3 wonderful|2 good|2 strange} day," [he] {3 said|2 thought} before [he] fell asleep.
    2 And if you ever {3 pass|2 visit} [the_house] [where], you may {3 hear somebody laughing|2 see a light in the window|2 smell
        warm bread}.
    3 {4 And after that|2 Then} there was {supper} for everyone.
    2 {moral}
moral
    3 And [he] never forgot that {3 a good friend is worth more than gold|2 small hands can do big things|2 kind words cost
        nothing|2 trying again is half of the way}.

hero = name / girl / he / him / his
    6 Lily / girl / she / her / her | 5 Mia / girl / she / her / her | 4 Anna / girl / she / her / her
    4 Nora / girl / she / her / her | 3 Ruby / girl / she / her / her | 3 Clara / girl / she / her / her
    2 Zoe / girl / she / her / her | 2 Maya / girl / she / her / her | 1 Ingrid / girl / she / her / her
    6 Tom / boy / he / him / his | 5 Ben / boy / he / him / his | 4 Leo / boy / he / him / his
    4 Jack / boy / he / him / his | 3 Finn / boy / he / him / his | 3 Omar / boy / he / him / his
    2 Theo / boy / he / him / his | 2 Hugo / boy / he / him / his | 1 Anton / boy / he / him / his
kid = kid
    4 Sara | 4 Peter | 3 Emma | 3 Lucas | 2 Rosie | 2 Carlos | 2 Yuki | 1 Greta | 1 Ali
elder = elder / elder_he / elder_his
    6 Mom / she / her | 5 Dad / he / his | 5 Grandma / she / her | 4 Grandpa / he / his | 2 Aunt Vera / she / her
    2 Uncle Max / he / his
pal = pal
    4 Biscuit | 3 Pepper | 3 Button | 2 Clover | 2 Muffin | 2 Daisy | 1 Pickle
pet = pet / call / cheer
    6 dog / barked twice / ran around them in circles | 4 cat / gave a loud meow / purred like a small engine
    2 goose / honked / flapped both wings | 2 goat / stopped and bleated / skipped from side to side
    2 pony / stamped a foot / shook a long mane | 1 pig / squealed / rolled in the mud with joy
trait
    6 a curious | 5 a kind | 5 a cheerful | 4 a brave | 3 a quiet | 3 a clever | 2 a dreamy | 2 a busy | 1 an honest
pastime
    4 draw birds | 4 sing | 3 climb trees | 3 jump in puddles | 2 count the stars | 2 collect round stones | 2 feed the ducks
house = house / the_house
    6 a little white house / the little white house | 4 a small brick house / the small brick house
    3 an old wooden house / the old wooden house | 3 a tall yellow house / the tall yellow house
    2 a house with a red door / the house with the red door | 1 a round tower / the round tower
where = where
    5 by the sea | 5 near the forest | 4 on top of a green hill | 3 at the end of a long street | 3 next to a bakery
    2 beside a slow river | 1 behind the old mill
sky
    6 sunny | 4 windy | 3 rainy | 3 cold | 2 gray | 2 warm | 1 foggy
color = color_word / color
    6 a red / red | 5 a blue / blue | 3 a green / green | 3 a yellow / yellow | 2 a silver / silver | 2 an orange / orange
    1 a striped / striped
toy = toy / play
    5 ball / roll it down the hill | 4 toy boat / sail it in the bathtub | 4 teddy bear / hug it and tell it secrets
    3 hat / wear it and bow to the neighbors | 3 whistle / blow it at the crows | 2 toy train / push it around the table
    2 blanket / build a tent with it | 2 scarf / let it fly in the wind
indoors
    4 under the bed | 3 behind the curtains | 3 in every drawer | 2 in the laundry basket | 2 below the stairs
outdoors
    4 in the yard | 3 behind the shed | 3 among the flowers | 2 on the roof | 2 along the fence
junk
    4 an old sock | 3 a sleepy spider | 3 two pencils | 2 a cookie with one bite missing | 2 dust
memory = memory / there / hidden
    5 By the pond / to the pond / in the tall grass near the water
    5 Under the oak / to the oak / between two thick roots | 4 In the barn / to the barn / behind a pile of hay
    4 At the market / to the market / under a table full of apples | 3 On the swings / to the swings / in the sand
    3 On the beach / to the beach / next to a wet rock | 2 At the bridge / to the bridge / on a flat stone by the stream
praise
    5 Well done | 3 How clever you are | 3 You did it | 2 Hooray | 1 Bravo
token = token_text / token
    4 a smooth white stone / stone | 3 a long gray feather / feather | 3 a shiny button / button | 2 an acorn / acorn
    2 a tiny bell / bell | 2 a blue shell / shell

prize = prize / use
    5 bicycle / rode up and down the street until dark | 4 kite / let it climb high above the roofs
    4 drum / marched around the house until supper | 3 sled / waited at the window for the first snow
    3 wagon / pulled three friends around the yard | 2 violin / played a slow, sweet tune by the window
    2 umbrella / jumped in every puddle on the way | 1 telescope / looked at the moon all night
owner = owner
    5 the farmer | 4 the baker | 3 the gardener | 3 the old woman next door | 2 the beekeeper | 1 the captain
job
    4 swept the yard | 3 fed the hens | 3 carried water | 2 picked apples | 2 washed the windows
late_job
    3 raked the leaves | 3 peeled the potatoes | 2 cleaned the boots | 2 chopped the carrots | 1 painted the fence
craft = craft / material / flaw / mend / triumph
    4 a kite / paper, two sticks, and a long string / it spun around and crashed
        / gave it a longer tail / it flew higher than the swallows
    4 a toy boat / bark, a twig, and a leaf for the sail / it tipped over and sank
        / put a small stone in the bottom / it sailed all the way across the pond
    3 a drum / a tin pot, a cloth, and two spoons / it made only a sad little thud
        / pulled the cloth tight / it boomed like thunder
    3 a birdhouse / three boards, some nails, and straw / no bird would go in
        / made the door wider / a robin moved in before supper
    2 a scarecrow / an old coat, a broom, and a pumpkin / it fell on its nose
        / dug a deeper hole / even the boldest crow flew away
    2 a blanket tent / two chairs, a blanket, and some pins / the roof fell down
        / tied the corners to the chairs / everybody could sit inside
    1 a lantern / a glass jar, some wire, and a candle / the wind blew it out
        / cut a paper roof for it / it shone like a small moon
skill = skill / fail / tip / win
    4 ride a bicycle / fell into the bushes / look ahead and not down / rode all the way to the corner
    4 swim / swallowed half of the pond / let the water carry you / swam like a frog
    3 whistle / blew nothing but air / make your lips small and round / whistled a whole song
    3 skate / sat down hard on the ice / bend your knees a little / glided along like a swan
    2 juggle / dropped every ball / watch the top and not your hands / kept three balls in the air
    2 jump rope / got both feet tangled / listen to the rope / jumped twenty times in a row
    2 bake bread / made a loaf as hard as a brick / give the dough time to rest / took a golden loaf out of the oven
    2 read / mixed up all the letters / take one small word at a time / read a whole page out loud
    1 play the flute / scared the hens / breathe slowly / played so well that even the hens came closer
teacher = teacher / teacher_name
    4 An old turtle / the turtle | 3 A gray owl / the owl | 3 The baker / the baker | 2 An old sailor / the sailor
    2 The woman next door / the woman

sound
    4 soft cry | 3 tiny squeak | 3 rustle | 2 faint whimper
nearby
    4 under a bush | 3 beside the path | 3 behind the fence | 2 at the foot of a tree | 2 near the well
creature = creature / animal
    4 a gray kitten / kitten | 4 a young fox / fox | 3 a small hedgehog / hedgehog | 3 a baby rabbit / rabbit
    2 a brown puppy / puppy | 2 a little owl / owl | 1 an otter / otter
trouble = trouble / fail / tool / cure
    4 Its foot was caught in an old net / the knots were too tight / a pair of scissors / cut it free
    3 It was wet and shook with cold / there was nothing dry around / a wool blanket / rubbed it until it was warm
    3 It had a thorn in its foot / the thorn was too deep / a needle and warm water / took the thorn out
    2 It had fallen into a hole / the sides were too steep / a basket on a rope / pulled it up
    2 It was weak from hunger / it would not eat grass / a bowl of warm milk / fed it with a spoon
treat
    3 a piece of apple | 2 some milk | 2 a crust of bread
cake = cake_text / cake
    4 a plum cake / plum cake | 3 a lemon cake / lemon cake | 3 a carrot cake / carrot cake | 2 an apple cake / apple cake
missing = missing
    4 flour | 4 butter | 3 sugar | 3 milk | 2 honey | 1 salt
favor
    4 pull the weeds | 3 sweep the floor | 3 find my glasses | 2 chase my hens back into the yard | 2 stack this wood
fear = fear / scene / act / truth
    4 the dark / At night the shadows on the wall looked like wolves / looked at the shadows one by one
        / The wolves were only coats and chairs
    4 thunder / It sounded like giants throwing stones / counted from the flash to the bang
        / The storm was already walking away
    3 the cellar / Something down there went knock, knock, knock / opened the cellar door
        / It was only a loose shutter in the wind
    3 the big dog next door / It barked at everyone who came near the fence / held out a hand and spoke softly
        / The dog only wanted somebody to play with
    2 the old bridge / It creaked like an angry goose / put one foot on the boards, and then the other
        / The bridge liked to talk, but it was as strong as an oak
    2 the attic / Something up there scratched half of the night / climbed the ladder with a candle
        / It was only a family of mice in a hat
thing = thing / break / mend_it / share
    4 a kite / The paper ripped down the middle / glued the two halves / one held the string while the other ran
    3 a sled / It slid down the hill alone and hit a tree / fixed the bent runner / they rode it one behind the other
    3 a red bucket / The handle snapped / made a new handle out of rope / one dug while the other carried water
    2 a big book / A page tore in two / mended the page with paste / one read while the other turned the pages
    2 a swing / The rope broke, and they landed in the mud / tied a new knot / they took turns, ten pushes each
lure
    4 a blue butterfly | 3 a white rabbit | 2 a red balloon | 2 a strange bird | 1 a spark of light
into_wild
    4 into the forest | 3 across the hills | 2 deep into the tall reeds
guide = guide / guide_name
    4 An old badger / the badger | 3 A thin fox / the fox | 3 A great owl / the owl | 2 A lame crow / the crow
riddle = riddle / answer
    4 What runs all day and never gets tired / the river | 3 What has teeth but cannot bite / a comb
    3 What grows when you share it / a smile | 2 What follows you in the sun and hides at night / my shadow
    2 What can you give away and still keep / a promise | 1 What speaks every language but has no mouth / an echo
payment
    3 a coin | 2 a fish | 2 an egg
tale
    3 a king who was afraid of mice | 3 the moon and the lazy fisherman | 2 a cloud that wanted to be a sheep
    2 two bears with one spoon
landmark
    3 along the stream | 3 from star to star | 2 past the three tall stones
dream
    3 flying over the sea | 3 tall ships | 2 a garden full of lanterns | 2 a talking bear
supper
    4 hot soup | 3 pancakes with jam | 2 bread and honey | 2 apple pie
"""


class _Mention(str):
    """The name of something remembered; it writes that again."""


class _Alternative:
    def __init__(self, weight: int, columns: list[list], names: list[str]):
        self.weight, self.items = weight, columns[0]
        self.memory = {}
        for name, items in zip(names, columns, strict=bool(names)):
            (text,) = items  # only plain text can be remembered
            self.memory |= {name: text, name.capitalize(): text[0].upper() + text[1:]}


class _Rule:
    """A weighted choice. Its sums need no context, because what is remembered never changes a weight."""

    def fill(self, alternatives: list[_Alternative]) -> None:
        self.alternatives = alternatives
        self.total = sum(a.weight for a in alternatives)
        # an entry for each unit of weight: to draw is to index, by no library's algorithm but random() itself
        self.table = [a for a in alternatives for _ in range(a.weight)]
        for a in alternatives:
            a.probability = a.weight / self.total
            a.log_prob = math.log(a.probability)

    @cached_property
    def entropy(self) -> float:
        return sum(a.probability * (_entropy(a.items) - a.log_prob) for a in self.alternatives)

    @cached_property
    def num_texts(self) -> int:
        return sum(_num_texts(a.items) for a in self.alternatives)


def _entropy(items: list) -> float:
    return sum(item.entropy for item in items if type(item) is _Rule)


def _num_texts(items: list) -> int:
    return math.prod(item.num_texts for item in items if type(item) is _Rule)


def _split(text: str, separator: str) -> list[str]:
    """The pieces between separators that stand outside of braces."""
    pieces, depth = [""], 0
    for char in text:
        depth += (char == "{") - (char == "}")
        if char == separator and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += char
    return [piece.strip() for piece in pieces]


def _compile(grammar: str) -> _Rule:
    """The rule `story` of a grammar in the notation explained above."""
    grammar = re.sub(r"\n {5,}", " ", grammar).replace(r" \n", r"\n")  # a deeper line continues the one above
    blocks = re.findall(r"^(\w+)(?: = (.+))?\n((?:    .+\n)+)", grammar, re.MULTILINE)
    rules = {name: _Rule() for name, _, _ in blocks}

    def items_of(text: str) -> list:
        items = []
        for part in re.findall(r"\{(?:[^{}]|\{[^{}]*\})*\}|\[\w+\]|[^{\[]+", text):
            if part[0] == "[":
                items.append(_Mention(part[1:-1]))
            elif part[0] != "{":
                items.append(part.replace(r"\n", "\n"))
            elif "|" not in part:
                items.append(rules[part[1:-1]])
            else:
                items.append(_Rule())
                items[-1].fill(alternatives_of(part[1:-1]))
        return items

    def alternatives_of(text: str, names: Sequence[str] = ()) -> list[_Alternative]:
        alternatives = []
        for piece in _split(text, "|"):
            weight, words = re.fullmatch(r"(?:(\d+) )?(.+)", piece).groups()
            columns = [items_of(column) for column in (_split(words, "/") if names else [words])]
            alternatives.append(_Alternative(int(weight or 1), columns, names))
        return alternatives

    for name, names, body in blocks:
        rules[name].fill(alternatives_of(body.strip().replace("\n", "|"), names.split(" / ") if names else ()))
    return rules["story"]


_STORY = _compile(GRAMMAR)


def _write(rule: _Rule, memory: dict[str, str], uniform, out: list[str]) -> float:
    """Draws from a rule: appends its text to `out`, returns its log-probability."""
    chosen = rule.table[int(uniform() * rule.total)]
    log_prob = chosen.log_prob
    for item in chosen.items:
        if type(item) is str:
            out.append(item)
        elif type(item) is _Mention:
            out.append(memory[item])
        else:
            log_prob += _write(item, memory, uniform, out)
    memory.update(chosen.memory)
    return log_prob


def _read(rule: _Rule, memory: dict[str, str], text: str, start: int) -> tuple[int, float] | None:
    """Finds the one alternative that stands at `start`: where its text ends, and its log-probability."""
    for chosen in rule.alternatives:
        position, log_prob = start, chosen.log_prob
        for item in chosen.items:
            if type(item) is _Rule:
                inner = _read(item, memory, text, position)
                if inner is None:
                    break
                position, log_prob = inner[0], log_prob + inner[1]
            else:
                words = item if type(item) is str else memory[item]
                if not text.startswith(words, position):
                    break
                position += len(words)
        else:
            memory.update(chosen.memory)
            return position, log_prob  # prefix-free: no other alternative can stand here
    return None


def _num_bytes(rule: _Rule, memory: dict[str, float]) -> float:
    """Expected bytes of a rule's text, given the expected bytes of what is remembered; remembers its own."""
    num_bytes, learned = 0.0, {}
    for a in rule.alternatives:
        inner = dict(memory)
        for item in a.items:
            if type(item) is _Rule:
                num_bytes += a.probability * _num_bytes(item, inner)
            else:
                num_bytes += a.probability * (len(item.encode()) if type(item) is str else inner[item])
        inner |= {name: len(text.encode()) for name, text in a.memory.items()}
        for name in inner.keys() - memory.keys():
            learned[name] = learned.get(name, 0.0) + a.probability * inner[name]
    memory |= learned
    return num_bytes


def story(rng: random.Random) -> str:
    r"""One story, drawn from the grammar; paragraphs are separated by a newline.

    Args:
        rng: source of the draws; only its `random()` is called.

    Example:
        >>> print(story(random.Random(7)).split(".")[0])
        ???
    """
    out: list[str] = []
    _write(_STORY, {}, rng.random, out)
    return "".join(out)


def stories(num_bytes: int, seed: int) -> list[str]:
    """Whole stories, until together they have at least `num_bytes` bytes in UTF-8.

    The same on every platform and Python version: only `random()` of the Mersenne twister is used, whose
    sequence is guaranteed. A longer list begins with the shorter one of the same seed.

    Example:
        >>> stories(2_000, seed=0) == stories(4_000, seed=0)[:len(stories(2_000, seed=0))]
        True
    """
    rng, told, size = random.Random(seed), [], 0
    while size < num_bytes:
        told.append(story(rng))
        size += len(told[-1].encode())
    return told


def log_prob(text: str) -> float:
    r"""Natural logarithm of the probability of a whole story, its end included; nats.

    $$\log P(s) = \sum_{c \in \text{choices of } s} \log \frac{w_c}{\sum_{c'} w_{c'}},$$

    over the choices of the one derivation of $s$. The grammar gives probabilities to finished texts, so
    the mark after a story costs nothing more. `-inf` for a text that the grammar cannot write.

    Example:
        >>> tale = story(random.Random(7))
        >>> log_prob(tale) < 0, log_prob(tale + " The end.")
        (True, -inf)
    """
    end, total = _read(_STORY, {}, text, 0) or (None, 0.0)
    return total if end == len(text) else -math.inf


def entropy() -> float:
    r"""Exact entropy of a story in nats: the mean of `-log_prob`, in closed form.

    By the chain rule along the derivation, for a rule $r$ with alternatives $a$ of probability $p_a$,

    $$H(r) = \sum_a p_a \Bigl(-\log p_a + \sum_{r' \in a} H(r')\Bigr).$$

    Example:
        >>> round(entropy() / math.log(2) / expected_bytes(), 3)  # bits per byte in the long run
        ???
    """
    return _STORY.entropy


def expected_bytes() -> float:
    """Exact mean size of a story in UTF-8 bytes, without an end mark.

    Example:
        >>> round(expected_bytes())
        ???
    """
    return _num_bytes(_STORY, {})


def num_stories() -> int:
    """Exact number of different stories, each of positive probability.

    Example:
        >>> num_stories() > 10**9
        True
    """
    return _STORY.num_texts


def floor_bits_per_byte(stories: Sequence[str]) -> float:
    r"""Code length of exactly these stories under the truth, in bits per byte.

    $$\frac{-\sum_s \log P(s)}{\ln 2 \,\sum_s \text{bytes}(s)}.$$

    What a perfect model's `bits_per_byte_with_eot` would be: the end of each story is in the numerator (the grammar
    knows it), the end mark has no byte in the denominator. Infinite if a text is not a story of the grammar.

    Raises:
        ValueError: if there is no story.

    Example:
        >>> abs(floor_bits_per_byte(stories(200_000, seed=0)) - entropy() / math.log(2) / expected_bytes()) < 0.01
        True
    """
    if not stories:
        raise ValueError("stories is empty; the floor is a mean over at least one story")
    return -math.fsum(map(log_prob, stories)) / (math.log(2) * sum(len(text.encode()) for text in stories))
